"""Laws: weights and optimizer state are counted exactly; all else that is counted is there, too."""

from pathlib import Path

import pytest
import torch

import tiny
from atonce.data.batches import collate
from atonce.data.config import VocabularyConfig
from atonce.data.dates import generate
from atonce.data.prepare import Prepared, open_prepared
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.opening import model_for
from atonce.errors import RecipeError
from atonce.models.build import build_model
from atonce.models.named import ARCHITECTURES
from atonce.runs.recipe import Recipe
from atonce.training import memory
from atonce.training.average import WeightAverage
from atonce.training.loss import batch_loss
from atonce.training.memory import (
    Sizes,
    check_recipe_fits,
    check_training_fits,
    scoring_bytes,
    training_bytes,
)
from atonce.training.optimizers import build_optimizers
from atonce.training.train import train
from peak import peak_growth

CPU = torch.device("cpu")
IMAGES = {**tiny.GRU, "image": {"kind": "convolution", "channels": [4, 8]}}
LABELS = {**tiny.GRU, "image": {"kind": "patches"}, "decoder": {"kind": "classifier"}}
MODELS = {one.name: one.model.model_dump() for one in ARCHITECTURES} | {
    "untied": {**tiny.TRANSFORMER, "tied_embeddings": False},
    "learned positions": {**tiny.TRANSFORMER, "encoder": {"positions": "learned", "heads": 2}},
}


def small(kind: str, **options: object) -> dict[str, object]:
    return {"dim": 32, "encoder": {"kind": kind, "layers": 2}, "decoder": {"kind": kind, **options}}


SMALL = [
    *[small(kind, layers=2) for kind in ("transformer", "convolution", "mingru")],
    *[small(kind, attention="dot") for kind in ("gru", "lstm", "rnn")],
]


def bytes_of_weights(model: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def after_a_step(recipe: Recipe, prepared: Prepared) -> tuple[dict[str, int], int]:
    """What a training holds after one step, by kind; and how much of it its way back had to remember."""
    model = model_for(recipe, prepared.ends)
    optimizers = build_optimizers(model, recipe.training)
    average = WeightAverage(model, recipe.training.average)
    remembered: dict[int, int] = {}

    kept = []  # or another would be made in the same place
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            remembered[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    rows = torch.arange(min(8, len(prepared.train))).numpy()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = batch_loss(model, collate(prepared.train, rows), 0.1).smoothed
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    state = [tensor for optimizer in optimizers for of in optimizer.state.values() for tensor in of.values()]
    return {
        "weights": bytes_of_weights(model),
        "their gradients": sum(
            weight.grad.nbytes for weight in model.parameters() if weight.grad is not None
        ),
        "the optimizer's state": sum(tensor.nbytes for tensor in state if tensor.ndim),
        "the average of the weights": sum(tensor.nbytes for tensor in average.weights.values()),
    }, sum(remembered.values())


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("model", SMALL)
def test_what_is_counted_is_what_is_allocated(prepared_dates: Path, model: dict, optimizer: str) -> None:
    recipe = tiny.recipe(model=model, training={"optimizer": optimizer, "average": 0.9})
    prepared = open_prepared(prepared_dates)
    batch = collate(prepared.train, torch.arange(8).numpy())
    positions = max(batch.source.numel(), batch.target_in.numel())
    counted = training_bytes(recipe, Sizes(prepared.tokenizer.size, positions=positions))
    held, remembered = after_a_step(recipe, prepared)
    assert {name: counted[name] for name in held} == held
    assert 0.1 * remembered < counted["activations of a batch"] < remembered


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_is_counted_exactly(name: str) -> None:
    recipe = tiny.recipe(model=MODELS[name])
    model = build_model(recipe.model, 500)
    assert training_bytes(recipe, Sizes(500))["weights"] == bytes_of_weights(model)
    assert training_bytes(recipe, Sizes(500))["weights"] == scoring_bytes(recipe, Sizes(500), CPU)["weights"]


def test_models_of_images_and_labels_are_counted_exactly() -> None:
    strings = {"kind": "digit-strings", "images": 100}
    for data, model, labels in ((strings, IMAGES, None), ({"kind": "digits"}, LABELS, 7)):
        recipe = tiny.recipe(data=data, model=model)
        built = build_model(recipe.model, 0 if labels else 300, image=(12, 44), labels=labels)
        sizes = Sizes(0 if labels else 300, labels=labels, image=(12, 44))
        assert training_bytes(recipe, sizes)["weights"] == bytes_of_weights(built)


@pytest.mark.parametrize("kind", ["transformer", "gru", "lstm", "convolution", "mingru"])
def test_deep_models_are_counted_by_shallow_ones(kind: str) -> None:
    model = {"dim": 16, "encoder": {"kind": kind, "layers": 9}, "decoder": {"kind": kind, "layers": 6}}
    recipe = tiny.recipe(model=model)
    assert training_bytes(recipe, Sizes(300))["weights"] == bytes_of_weights(build_model(recipe.model, 300))


def given(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    """So much memory is free."""
    monkeypatch.setattr("atonce.models.device.free_memory", lambda _: free)
    monkeypatch.setattr(memory, "free_memory", lambda _: free)


def test_a_training_is_begun_where_there_is_just_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny.recipe()
    needed = max(
        sum(parts.values())
        for parts in (training_bytes(recipe, Sizes(260)), scoring_bytes(recipe, Sizes(260), CPU))
    )
    given(monkeypatch, needed)
    check_recipe_fits(recipe, CPU)
    given(monkeypatch, needed - 1)
    with pytest.raises(RecipeError, match=r"of memory, and .* are free"):
        check_recipe_fits(recipe, CPU)
    given(monkeypatch, None)
    check_recipe_fits(recipe, CPU)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("model", "dim", 2**20, "for weights"),
        ("decoding", "beam", 10**6, "the scores of 1,000,000 beginnings"),
    ],
)
def test_too_much_is_refused_with_what_fits(
    section: str, key: str, value: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, 2**28)
    changed = {**tiny.TRANSFORMER, key: value} if section == "model" else {key: value}
    recipe = tiny.recipe(**{section: changed})
    with pytest.raises(RecipeError) as refused:
        train(recipe, tmp_path / "run", quiet=True)
    assert "at least" in refused.value.what
    assert "256.0 MiB are free" in refused.value.what
    assert said in refused.value.why
    assert not (tmp_path / "run").exists(), "nothing is prepared, nothing is left"
    smaller = refused.value.fix.split(f"{section}.{key} to ")[1].split(", or")[0].replace(",", "")
    assert int(smaller) < value
    values = recipe.model_dump()
    values[section][key] = int(smaller)
    check_recipe_fits(Recipe.parse(values, origin="as it was told"), CPU)


def test_what_only_the_data_tell_is_refused_and_leaves_nothing(
    prepared_dates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = open_prepared(prepared_dates)
    recipe = tiny.recipe(training={"batch_tokens": 10**8})
    sizes = Sizes(prepared.tokenizer.size)
    given(monkeypatch, sum(training_bytes(recipe, sizes).values()) + 1000)
    check_recipe_fits(recipe, CPU)
    with pytest.raises(RecipeError, match="activations of a batch") as refused:
        check_training_fits(recipe, prepared, CPU)
    assert "training.batch_tokens to " in refused.value.fix
    with pytest.raises(RecipeError, match="activations of a batch"):
        train(recipe, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_batch_is_no_larger_than_the_data(prepared_dates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pieces a batch may have."""
    prepared = open_prepared(prepared_dates)
    recipe = tiny.recipe(training={"batch_tokens": 10**8})
    given(monkeypatch, 2**26)
    check_training_fits(recipe, prepared, CPU)


@pytest.mark.parametrize("key", ["images", "valid_size", "test_size"])
def test_pixels_are_counted_before_they_are_drawn(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"kind": "digit-strings", "images": 100, "longest": 1000, "valid_size": 8, "test_size": 8}
    given(monkeypatch, 2**33)
    with pytest.raises(RecipeError, match=r"36.9 GiB of memory, and 8.0 GiB are free") as refused:
        check_recipe_fits(tiny.recipe(data={**data, key: 300_000}, model=IMAGES), CPU)
    assert refused.value.why.startswith("36.9 GiB for the pixels of 300,000 ")
    assert refused.value.fix == f"lower data.{key} or data.longest"


KINDS = ("bpe", "unigram", "words", "characters")


@pytest.mark.parametrize("kind", KINDS)
def test_no_vocabulary_has_fewer_pieces_than_are_counted_at_first(kind: str) -> None:
    assert Tokenizer.train(["a"], VocabularyConfig(kind=kind)).size > memory.FEWEST_PIECES > 250


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_small_corpora_do_not_fill_takes_no_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while pieces are learned nor later."""
    recipe = tiny.recipe(vocabulary={"kind": kind, "size": 10**7}, training={"steps": 1})
    lines = [text for pair in generate(500, seed=3) for text in pair]
    Tokenizer.train(lines, recipe.vocabulary)  # what is loaded the first time
    assert peak_growth(lambda: Tokenizer.train(lines, recipe.vocabulary)) < 2**25
    given(monkeypatch, 2**25)
    assert train(recipe, tmp_path / "run", quiet=True).path.exists()


@pytest.mark.parametrize("model", [tiny.TRANSFORMER, {**tiny.GRU, "tied_embeddings": False}])
def test_a_vocabulary_that_is_too_large_is_refused_once_it_is_known(
    model: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a model of it is made; nothing is left."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"w{i} a{i} b{i} c{i}\td{i} e{i} f{i}\n" for i in range(400)))
    data = {"kind": "tsv", "path": str(file), "columns": ("1", "2"), "valid_size": 8, "test_size": 8}
    vocabulary = {"kind": "words", "size": 10**7, "split_digits": False}
    recipe = tiny.recipe(data=data, model={**model, "dim": 256}, vocabulary=vocabulary)
    given(monkeypatch, sum(training_bytes(recipe, Sizes(1500)).values()) + 2**21)
    check_recipe_fits(recipe, CPU)
    with pytest.raises(RecipeError, match=r"at least .* of memory, and .* are free") as refused:
        train(recipe, tmp_path / "run", quiet=True)
    assert "for weights" in refused.value.why
    assert not (tmp_path / "run").exists()
    smaller = refused.value.fix.split("vocabulary.size to ")[1].split(", or")[0].replace(",", "")
    assert 300 < int(smaller) < 2000
    values = recipe.model_dump()
    values["vocabulary"]["size"] = int(smaller)
    train(Recipe.parse(values, origin="as it was told"), tmp_path / "run", quiet=True)
