"""What a training takes of memory, counted before any of it is allocated.

Weights, gradients, the optimizer's state and the average are counted exactly, on torch's meta device, which
has no memory. What else there is (activations, the search that scores the test text) is a lower bound: what
would fit is never refused, and what is refused would not have fitted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from atonce.data.batches import plan_batches
from atonce.data.config import DataConfig, DigitsConfig, DigitStringsConfig, FashionMnistConfig
from atonce.data.corpora.digits import HEIGHT, PITCH
from atonce.data.images import ImageExamples, ImageShape
from atonce.data.io_spec import Labels
from atonce.data.pairs import Examples
from atonce.data.prepare import Prepared
from atonce.decoding.search import NUMBER, search_bytes
from atonce.errors import AtonceError
from atonce.models.build import build_image_embedding, build_model
from atonce.models.config import DecoderConfig, EncoderConfig, ModelConfig
from atonce.models.device import check_room, free_memory
from atonce.models.size_matching import width_unit
from atonce.runs.recipe import Recipe
from atonce.training.budget import DEFAULT_STEPS
from atonce.training.optimizers import hidden_matrices

_READ, _WRITTEN = 8 + 1, 8 + 8 + 1
"""Bytes of a position of a batch: an id and its mask, of a target also what the decoder is given."""
FEWEST_TOKENS = 4 + 256
"""Of a vocabulary: special ones and bytes."""
_FEW_LABELS = 2


@dataclass(frozen=True)
class Sizes:
    """What of a training only its data tell."""

    vocab: int
    labels: int | None = None
    image: tuple[int, int] | None = None
    read: int = 0
    """Positions of the encoder, in the batch that takes most; 0: not known yet."""
    written: int = 0
    """Positions of the decoder, in the same batch."""
    held: int = 0
    """Bytes of the batches that are read for the same update."""
    gradients: bool = False
    """Whether others of these batches have left theirs when it is read."""
    state: bool = False
    """Whether an update has left the optimizer's state by then."""


def check_recipe_fits(recipe: Recipe, device: torch.device) -> None:
    """Raises RecipeError where the recipe, whatever its data are, asks for more memory than there is.

    How many tokens there will be, the data tell: a corpus may not fill a vocabulary.
    """
    data = recipe.data
    if isinstance(data, DigitStringsConfig):
        _check_pixels(data)
    _check(recipe, Sizes(FEWEST_TOKENS, *_ends_of(data)), device)


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


def check_training_fits(
    recipe: Recipe, prepared: Prepared, device: torch.device, *, processes: int = 1
) -> None:
    """Raises RecipeError where a training with these data would take more memory than there is.

    `processes`: as many learn together, each with a device of its own and its rows of every batch.
    """
    io_spec, train, free = prepared.io_spec, prepared.train, free_memory(device)
    labels = len(io_spec.target) if isinstance(io_spec.target, Labels) else None
    image = io_spec.source if isinstance(io_spec.source, ImageShape) else None
    sizes = Sizes(0 if labels is not None and image is not None else io_spec.tokenizer.size, labels, image)
    most = partial(with_most, sizes=sizes, train=train)
    if free is not None and sum(reading_bytes(recipe, most(recipe)).values()) > free:
        # In doubt it is looked at what the batches are.
        sizes = with_batches(recipe, sizes, train, processes)
    _check(recipe, sizes, device, most)


def training_bytes(recipe: Recipe, sizes: Sizes) -> dict[str, int]:
    """What is in memory at once when an update is made, by what it is; in all, at least so many bytes."""
    weights, state = _learned(recipe, sizes)
    return {
        "weights": NUMBER * weights,
        "their gradients": NUMBER * weights,
        "the optimizer's state": NUMBER * state,
        "the average of the weights": NUMBER * weights if recipe.training.average else 0,
        "the batches of an update": sizes.held,
    }


def reading_bytes(recipe: Recipe, sizes: Sizes) -> dict[str, int]:
    """What is in memory at once when the batch that takes most was read; in all, at least so many bytes."""
    weights, state = _learned(recipe, sizes)
    return {
        "weights": NUMBER * weights,
        "their gradients": NUMBER * weights if sizes.gradients else 0,
        "the optimizer's state": NUMBER * state if sizes.state else 0,
        "the average of the weights": NUMBER * weights if recipe.training.average else 0,
        "activations of a batch": _activations(recipe.model, sizes.read, sizes.written),
        "the batches of an update": sizes.held,
    }


def _at_most(recipe: Recipe, sizes: Sizes) -> dict[str, int]:
    """What is in memory at once at whichever of these moments takes more."""
    moments = training_bytes(recipe, sizes), reading_bytes(recipe, sizes)
    return max(moments, key=lambda parts: sum(parts.values()))


def _learned(recipe: Recipe, sizes: Sizes) -> tuple[int, int]:
    """How many numbers the weights are, and how many the optimizer keeps of them."""
    weights, by_muon = _counts(recipe.model, Sizes(sizes.vocab, sizes.labels, sizes.image))
    by_muon = by_muon if recipe.training.optimizer == "muon" else 0
    return weights, by_muon + 2 * (weights - by_muon)


def _activations(model: ModelConfig, read: int, written: int) -> int:
    """Bytes that are kept for the way back, at least, of so many positions of encoder and decoder."""
    numbers = read * _features(model.encoder, model.dim) + written * _features(model.decoder, model.dim)
    return 2 * numbers  # they may be in bfloat16


def with_most(recipe: Recipe, sizes: Sizes, train: Examples | ImageExamples) -> Sizes:
    """With a batch, at once, that takes as much as any that could be made of these examples, or more."""
    training = recipe.training
    longest = int(max(train.source_lengths.max(initial=1), train.target_lengths.max(initial=1)))
    # A batch holds one example at least, however long, and no more than there are.
    most = max(longest, min(training.batch_tokens, longest * len(train)))
    read, in_batch = most, (_READ + _WRITTEN) * most
    if sizes.image is not None:
        rows = most // sizes.image[1]  # which is the width
        read, in_batch = rows * _cells(recipe.model, sizes.image), in_batch + rows * _of_image(sizes.image)
    return replace(
        sizes, read=read, written=most, held=training.accumulate * in_batch, gradients=True, state=True
    )


def with_batches(recipe: Recipe, sizes: Sizes, train: Examples | ImageExamples, processes: int) -> Sizes:
    """With the batch that takes most of those that are read, of which there may be fewer than in an epoch.

    Where minutes are given, any may be read. Batches have the same sizes in every epoch, in another order.
    """
    training, model = recipe.training, recipe.model
    sources, targets = train.source_lengths, train.target_lengths
    plan = plan_batches(sources, targets, batch_tokens=training.batch_tokens, seed=training.seed, epoch=0)
    together = training.accumulate
    steps = training.steps or (len(plan) + 1 if training.minutes else DEFAULT_STEPS)
    rows, source, target = np.array(
        [(len(batch), sources[batch].max(), targets[batch].max()) for batch in plan[: steps * together]],
        dtype=np.int64,
    ).T
    # Of the process that has most: rows are dealt out one by one.
    shares = -(-rows // processes)
    read = shares * (source if sizes.image is None else _cells(model, sizes.image))
    written = shares * target
    of_source = _READ * source if sizes.image is None else _of_image(sizes.image)
    order = np.arange(len(rows))
    # All batches of an update are in memory before the first is learned from.
    held = np.add.reduceat(rows * (of_source + _WRITTEN * target), order[::together])[order // together]
    held *= max(1, together // len(plan))  # where it takes several epochs

    weights, state = _learned(recipe, sizes)
    gradients = order % together > 0
    # From the second update on; in a later epoch the first batches meet it, too.
    has_state = (order >= together) | (steps * together >= len(plan) + together)
    taken = (
        # Bytes: activations may be in bfloat16.
        2.0 * (read * _features(model.encoder, model.dim) + written * _features(model.decoder, model.dim))
        + held
        + NUMBER * (weights * gradients + state * has_state)
    )
    most = int(taken.argmax())
    return replace(
        sizes, read=int(read[most]), written=int(written[most]), held=int(held[most]),
        gradients=bool(gradients[most]), state=bool(has_state[most]),
    )  # fmt: skip


def _cells(model: ModelConfig, image: tuple[int, int]) -> int:
    """Positions that an image becomes."""
    with torch.device("meta"):
        rows, columns = build_image_embedding(model.image, image, model.dim).grid
    return rows * columns


def _of_image(image: tuple[int, int]) -> int:
    """Bytes of an image in a batch, and of its mask."""
    return NUMBER * image[0] * image[1] + image[1]


def scoring_bytes(recipe: Recipe, sizes: Sizes, device: torch.device) -> dict[str, int]:
    """What is in memory at once while the test text is translated; in all, at least so many bytes."""
    weights, _ = _counts(recipe.model, sizes)
    found = {"weights": NUMBER * weights}
    if sizes.labels is None:
        beam = recipe.decoding.beam
        found |= search_bytes(sizes.vocab, recipe.model.dim, width=beam, device=device)
    return found


def _check(
    recipe: Recipe,
    sizes: Sizes,
    device: torch.device,
    most: Callable[[Recipe], Sizes] | None = None,
) -> None:
    """Raises RecipeError, which says what to lower, and to what.

    `most`: what a changed recipe takes at most.
    """
    free = free_memory(device)
    if free is None:
        return
    for what, count, keys in (
        ("this training", _at_most, _KEYS),
        ("to score the test text", partial(scoring_bytes, device=device), _SCORING_KEYS),
    ):

        def fits(changed: Recipe, count: Callable[[Recipe, Sizes], dict[str, int]] = count) -> bool:
            other = replace(sizes, vocab=min(sizes.vocab, changed.vocabulary.size))
            if most is not None:
                bound = most(changed)
                other = replace(
                    other,
                    read=min(sizes.read, bound.read),
                    written=min(sizes.written, bound.written),
                    held=min(sizes.held, bound.held),
                )
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
        # Below a bound of the recipe, as all smaller values are.
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
    vectors = _KEPT.get(side.kind, 0) + int(getattr(side, "kernel", 0))
    return int(getattr(side, "layers", 0)) * (vectors * dim + int(getattr(side, "feed_forward", 0)))


_KEPT = {
    **{"feedforward": 2, "convolution": 2, "rnn": 1, "gru": 8, "lstm": 8},
    **{"mingru": 10, "minlstm": 12, "ssru": 14, "transformer": 8},
}
"""Vectors that a layer keeps of a position, as measured: the fewer of both sides, with or without dropout, no
attention weights. A convolution also lays its neighbours side by side."""


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
