"""What a training takes of memory, counted before any of it is allocated.

Weights, gradients, the optimizer's state and the average are counted exactly, on torch's meta device, which
has no memory. What else there is (activations, the search that scores the test text) is a lower bound: what
would fit is never refused, and what is refused would not have fitted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from atonce.data.batches import plan_batches
from atonce.data.config import DataConfig, DigitsConfig, DigitStringsConfig, FashionMnistConfig
from atonce.data.digit_strings import HEIGHT, PITCH
from atonce.data.images import ImageShape
from atonce.data.labels import Labels
from atonce.data.prepare import Prepared
from atonce.decoding.search import NUMBER, search_bytes
from atonce.errors import AtonceError
from atonce.models.build import build_model
from atonce.models.config import DecoderConfig, EncoderConfig, ModelConfig
from atonce.models.device import check_room, free_memory
from atonce.models.width import width_unit
from atonce.runs.recipe import Recipe
from atonce.training.optimizers import hidden_matrices

IN_BATCH = 8 + 1 + 3 * 8 + 1
"""Bytes of a position of a batch, at least: a source id and its mask, three of a target."""
FEWEST_PIECES = 4 + 256
"""Of a vocabulary: special ones and bytes."""
_FEW_LABELS = 2


@dataclass(frozen=True)
class Sizes:
    """What of a training only its data tell."""

    vocab: int
    labels: int | None = None
    image: tuple[int, int] | None = None
    positions: int = 0
    """Of the largest batch, on its longer side; 0: not known yet."""


def check_recipe_fits(recipe: Recipe, device: torch.device) -> None:
    """Raises RecipeError where the recipe, whatever its data are, asks for more memory than there is.

    How many pieces there will be, the data tell: a corpus may not fill a vocabulary.
    """
    data = recipe.data
    if isinstance(data, DigitStringsConfig):
        _check_pixels(data)
    _check(recipe, Sizes(FEWEST_PIECES, *_ends_of(data)), device)


def _check_pixels(data: DigitStringsConfig) -> None:
    """Raises RecipeError where the images are too many or too wide to be composed."""
    counts = {"images": data.images, "valid_size": data.valid_size, "test_size": data.test_size}
    what = {"images": "for training", "valid_size": "for validation", "test_size": "for the test"}
    pixels = HEIGHT * PITCH * data.longest
    check_room(
        {f"the pixels of {count:,} images {what[key]}": count * pixels for key, count in counts.items()},
        torch.device("cpu"),
        of="this corpus",
        fix=f"lower data.{max(counts, key=lambda key: counts[key])} or data.longest",
    )


def check_training_fits(recipe: Recipe, prepared: Prepared, device: torch.device) -> None:
    """Raises RecipeError where a training with these data would take more memory than there is."""
    ends = prepared.ends
    labels = len(ends.target) if isinstance(ends.target, Labels) else None
    image = ends.source if isinstance(ends.source, ImageShape) else None
    vocab = 0 if labels is not None and image is not None else ends.tokenizer.size
    train, batch_tokens = prepared.train, recipe.training.batch_tokens
    longest = int(max(train.source_lengths.max(initial=1), train.target_lengths.max(initial=1)))
    sizes = Sizes(vocab, labels, image, max(longest, min(batch_tokens, longest * len(train))))
    free = free_memory(device)
    if free is not None and sum(training_bytes(recipe, sizes).values()) > free:
        # In doubt it is looked at how large the largest batch is.
        plan = plan_batches(
            train.source_lengths, train.target_lengths, batch_tokens=batch_tokens, seed=0, epoch=0
        )
        lengths = [
            len(batch) * max(train.source_lengths[batch].max(), train.target_lengths[batch].max())
            for batch in plan
        ]
        sizes = Sizes(vocab, labels, image, int(max(lengths)))
    _check(recipe, sizes, device)


def training_bytes(recipe: Recipe, sizes: Sizes) -> dict[str, int]:
    """What is in memory at once while it learns, by what it is; in all, at least so many bytes."""
    weights, by_muon = _counts(recipe.model, sizes)
    training, model = recipe.training, recipe.model
    by_muon = by_muon if training.optimizer == "muon" else 0
    a_layer = _features(model.encoder, model.dim) + _features(model.decoder, model.dim)
    return {
        "weights": NUMBER * weights,
        "their gradients": NUMBER * weights,
        "the optimizer's state": NUMBER * (by_muon + 2 * (weights - by_muon)),
        "the average of the weights": NUMBER * weights if training.average else 0,
        "activations of a batch": 2 * sizes.positions * a_layer,  # 2: they may be in bfloat16
        "batches that are accumulated": IN_BATCH * sizes.positions * (training.accumulate - 1) // 2,
    }


def scoring_bytes(recipe: Recipe, sizes: Sizes, device: torch.device) -> dict[str, int]:
    """What is in memory at once while the test text is translated; in all, at least so many bytes."""
    weights, _ = _counts(recipe.model, sizes)
    found = {"weights": NUMBER * weights}
    if sizes.labels is None:
        beam = recipe.decoding.beam
        found |= search_bytes(sizes.vocab, recipe.model.dim, width=beam, device=device)
    return found


def _check(recipe: Recipe, sizes: Sizes, device: torch.device) -> None:
    """Raises RecipeError, which says what to lower, and to what."""
    free = free_memory(device)
    if free is None:
        return
    for what, count, keys in (
        ("this training", training_bytes, _KEYS),
        ("to score the test text", partial(scoring_bytes, device=device), _SCORING_KEYS),
    ):

        def fits(changed: Recipe, count: Callable[[Recipe, Sizes], dict[str, int]] = count) -> bool:
            vocab = min(sizes.vocab, changed.vocabulary.size)
            positions = min(sizes.positions, changed.training.batch_tokens)
            other = Sizes(vocab, sizes.labels, sizes.image, positions)
            return sum(count(changed, other).values()) <= free

        parts = count(recipe, sizes)
        if sum(parts.values()) > free:
            check_room(parts, device, of=what, fix=_what_to_lower(recipe, keys, fits))


_KEYS = (
    "model.dim", "model.encoder.layers", "model.decoder.layers", "model.encoder.feed_forward",
    "model.decoder.feed_forward", "vocabulary.size", "training.batch_tokens", "training.accumulate",
)  # fmt: skip
_SCORING_KEYS = ("decoding.beam", "vocabulary.size", "model.dim")


def _what_to_lower(recipe: Recipe, keys: Sequence[str], fits: Callable[[Recipe], bool]) -> str:
    """The keys of which one alone is enough, each with a value that fits."""
    found = []
    for key in keys:
        value = next((value for value, changed in _lowered(recipe, key) if fits(changed)), None)
        if value is not None:
            found.append(f"{key} to {value:,}")
    if not found:
        return "lower several of them, model.dim and the numbers of layers first"
    return "lower " + ", or ".join(found[:3])


def _lowered(recipe: Recipe, key: str) -> Iterator[tuple[int, Recipe]]:
    """The recipe with half of a number, a quarter, and so on."""
    values = recipe.model_dump()
    section: Any = values
    *sections, last = key.split(".")
    for name in sections:
        section = section[name]
    unit = width_unit(recipe.model) if key == "model.dim" else 1
    value = section.get(last) or 0
    while (value := value // 2 // unit * unit) > 0:
        section[last] = value
        try:
            changed = Recipe.parse(values, origin="a smaller recipe")
        except AtonceError:
            return
        yield value, changed


def _ends_of(data: DataConfig) -> tuple[int | None, tuple[int, int] | None]:
    """How many labels there are, at least, and how large the images, as far as a recipe says."""
    match data:
        case DigitsConfig():
            return 10, (8, 8)
        case FashionMnistConfig():
            return 10, (28, 28)
        case DigitStringsConfig():
            return None, (HEIGHT, PITCH * data.longest)
        case _:
            return (_FEW_LABELS if data.task == "classification" else None), None


def _features(side: EncoderConfig | DecoderConfig, dim: int) -> int:
    """Numbers that are kept of a position, for the way back, by all layers of one side; at least."""
    a_layer = _KEPT.get(side.kind, 0) * dim + int(getattr(side, "feed_forward", 0))
    return int(getattr(side, "layers", 0)) * a_layer


_KEPT = {
    **{"feedforward": 2, "convolution": 5, "rnn": 2, "gru": 8, "lstm": 8},
    **{"mingru": 10, "minlstm": 12, "ssru": 14, "transformer": 8},
}
"""Vectors that a layer keeps of a position, as measured: the fewer of both sides, no attention weights."""


def _counts(model: ModelConfig, sizes: Sizes) -> tuple[int, int]:
    """How many numbers a model learns, and how many of them are in matrices that Muon learns.

    From the third one on, all layers are alike: a thousand are counted by models of two and three.
    """
    deep = [_DEEP if getattr(side, "layers", 0) > _DEEP else None for side in (model.encoder, model.decoder)]
    base = _counted(_with_layers(model, *deep), sizes)
    total = list(base)
    for place, (side, depth) in enumerate(zip((model.encoder, model.decoder), deep, strict=True)):
        if depth is not None:
            one_more = [*deep]
            one_more[place] = _DEEP + 1
            more = _counted(_with_layers(model, *one_more), sizes)
            missing = side.layers - _DEEP  # type: ignore[union-attr]
            total = [all + missing * (one - of) for all, one, of in zip(total, more, base, strict=True)]
    return total[0], total[1]


_DEEP = 3


def _with_layers(model: ModelConfig, encoder: int | None, decoder: int | None) -> ModelConfig:
    changed = {
        name: side.model_copy(update={"layers": layers})
        for name, side, layers in (("encoder", model.encoder, encoder), ("decoder", model.decoder, decoder))
        if layers is not None
    }
    return model.model_copy(update=changed)


@lru_cache(maxsize=64)
def _counted(model: ModelConfig, sizes: Sizes) -> tuple[int, int]:
    vocab = 0 if sizes.labels is not None and sizes.image is not None else sizes.vocab
    with torch.device("meta"):
        built = build_model(model, vocab, image=sizes.image, labels=sizes.labels)
        return built.weight_count, sum(weight.numel() for weight, _ in hidden_matrices(built))
