"""The engine of `--fast`: faster generation on a CPU, in eight bits; outputs may differ slightly.

`accelerate` is what makes a model fast, and `models.interface.Engine` all that search sees of it: without
this folder, every model would be searched as it is. Two parts:

    quantization  linear layers in eight bits, in torch: anybody may look at what they compute
    engine        with numba, what search runs with instead of the model: a Transformer's blocks, and of any
                  decoder the choice among all tokens, as compiled loops

A step of one sentence is some eighty operations on vectors; called one by one, what surrounds them takes
most of the time. In the engine a step is one function. Rows (beginnings of sentences, or positions that are
read) do not wait for one another: each part of them goes through all blocks on its own, on whatever thread is
free. Its parts, each on top of the ones before it:

    jit           the decorator of all that is compiled, and where compiled code is kept
    instructions  what is written for the machine itself: loops over vectors
    weights       of blocks, in the order in which they are used
    functions     norms, nonlinearities, sums of vectors
    linear        rows rounded, multiplied, scaled
    attention     keys and values, which of them a row may look at, and what it makes of them
    block         of encoders and decoders
    topk          scores of all tokens, and the best of them
    threads       batches and rows dealt out

Without numba, beam search over texts looks at short lists of tokens: `shortlist`, of what a `lexicon` learned
from the training pairs.

Importing this package is free; what is compiled imports numba.
"""

from functools import cache
from pathlib import Path

import torch

from atonce.data.io_spec import IOSpec, Labels
from atonce.data.tokenizer import BOS, PAD, UNK, Tokenizer
from atonce.fast.lexicon import lexicon_of
from atonce.fast.quantization import QuantizedLinear, has_int8_hardware, quantize_linear_layers
from atonce.fast.shortlist import Shortlist, ShortlistEngine
from atonce.models.seq2seq import Seq2Seq
from atonce.progress import progress


@cache
def can_compile() -> bool:
    """Whether this CPU has instructions for products in eight bits, and numba can be imported."""
    if not has_int8_hardware():
        return False
    try:
        import numba  # which refuses versions of numpy that it does not know
        import threadpoolctl  # noqa: F401
    except ImportError:
        return False
    return bool(numba.__version__)


def accelerate(model: Seq2Seq) -> None:
    """From now on, multiply in eight bits: faster generation on a CPU that can, and no more learning.

    Linear layers and the output's table are rounded; recurrent layers stay as they are. Search runs what
    they are compiled to, where numba is installed.
    """
    model.requires_grad_(False)
    quantize_linear_layers(model)
    # Beside the table, which stays as it is: where embeddings are tied, sources and targets are read from it.
    weight = model.decoder.output.weight
    model.decoder.output.quantized = QuantizedLinear(weight)
    if can_compile() and weight.device.type == "cpu" and weight.dtype == torch.float32:
        from atonce.fast.engine import CompiledModel

        model.engine = CompiledModel(model.source, model.encoder, model.decoder)


def accelerate_trained(model: Seq2Seq, run: Path, io_spec: IOSpec) -> None:
    """`accelerate` the model of a run where this machine can, and make it ready to search.

    What cannot be compiled looks at short lists in beam search over texts.
    """
    if has_int8_hardware():
        accelerate(model)
    if model.engine is not None:
        if not isinstance(io_spec.target, Labels):  # of which none is searched
            with progress("Compiling for this machine, once"):
                model.engine.warm_up()
    elif isinstance(io_spec.source, Tokenizer) and isinstance(io_spec.target, Tokenizer):
        lists = Shortlist.of(lexicon_of(run, io_spec.tokenizer.size), suppress=(PAD, UNK, BOS))
        model.engine = ShortlistEngine(model.source, model.encoder, model.decoder, lists)
