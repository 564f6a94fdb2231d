"""Dropped heads: what a model does without some of its heads of attention."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from atonce.errors import RecipeError
from atonce.layers.attention import Attention, dropping


@contextmanager
def dropped_heads(model: nn.Module, heads: Mapping[str, Collection[int]]) -> Iterator[None]:
    """Within the block, these heads of `model` mix nothing: what they give is zero.

    `heads`: numbers from 0 by the layer's name, such as `{"decoder.layers.2.cross_attention": [0, 3]}`;
    attention of a recurrent or convolutional decoder has one head. It is as if the output projection had no
    weights for them (Michel 2019, section 2.3), in teacher forcing and in generation. A record that is made
    in the block has their weights all the same. Blocks within one another add up. The block is of this
    thread; other models are as they were, and nothing is left on the layers.

    Raises RecipeError for a layer or a head that the model has not.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Attention)}
    for name, numbers in heads.items():
        if name not in layers:
            raise RecipeError(
                f"there is no attention layer {name!r}",
                why=f"the model has {len(layers)} of them",
                fix=f"give one of: {', '.join(layers)}" if layers else "take a model with attention",
            )
        beyond = [number for number in numbers if not 0 <= number < layers[name].heads]
        if beyond:
            count = layers[name].heads
            raise RecipeError(
                f"there is no head {beyond[0]} to drop",
                why=f"{name} has {count} head{'s' if count > 1 else ''}, counted from 0",
                fix=f"give numbers from 0 to {count - 1}" if count > 1 else "give 0",
            )
    chosen = {layers[name]: frozenset(numbers) for name, numbers in heads.items() if numbers}
    if not chosen:
        yield  # with the fast kernels
        return
    with dropping(chosen):
        yield
