"""Models in eight bits, compiled for search: `atonce.fast` behind the contracts of encoders and decoders.

A Transformer's blocks are compiled, and of any decoder the choice among all tokens. Needs numba.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from atonce.fast import attention, block, topk, weights
from atonce.fast.quantization import QuantizedLinear
from atonce.fast.threads import deal, map_batches
from atonce.layers.attention import is_watched
from atonce.layers.masks import mean_of_real
from atonce.layers.transformer import DecoderBlock, EncoderBlock
from atonce.models.interface import (
    Batch,
    Continuations,
    Decoder,
    Encoder,
    Found,
    Memory,
    Shared,
    Source,
    SourceEmbedding,
    State,
    TopKDecoder,
)
from atonce.models.transformer import TransformerDecoder, TransformerEncoder
from atonce.shapes import Bool, Float, Int

BATCH_TOKENS = 2048
"""Few, so that what is kept of a batch stays in the caches of a core: greedy search of 1,000 sentences took
0.13 s, and 0.21 s with 8,192."""


class CompiledModel:
    """What search needs of a model. The model itself serves everything else."""

    batch_tokens = BATCH_TOKENS
    side_by_side = True

    def __init__(self, source: SourceEmbedding, encoder: Encoder, decoder: Decoder) -> None:
        """Of a model's parts, in eight bits and on a CPU."""
        self.source = source
        self.encoder = CompiledEncoder(encoder) if isinstance(encoder, TransformerEncoder) else encoder
        self.decoder = (
            CompiledTransformer(decoder)
            if isinstance(decoder, TransformerDecoder)
            else CompiledDecoder(decoder)
        )

    def serves(self, width: int, *, drawn: bool, forced: bool) -> bool:
        """Always, but what is compiled cannot be watched."""
        return not is_watched()

    def warm_up(self) -> None:
        """Compile now, or load what was compiled before, and not during the first search.

        The first time on a machine that takes some twenty seconds, else a quarter of one.
        """
        # One position is enough: code depends on types, not on sizes.
        dim = self.decoder.output.weight.shape[1]
        memory = Memory(torch.zeros(1, 1, dim), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, dim))
        if isinstance(self.encoder, CompiledEncoder):
            self.encoder(memory.states, memory.mask)
        if isinstance(self.decoder, CompiledTransformer):
            self.decoder.advance(torch.zeros(1, dtype=torch.long), self.decoder.start(memory))
        self.decoder.topk(memory.pooled, None, torch.zeros(1, 1), torch.zeros(1, dtype=torch.long), 1)

    def encode(self, source: Source, mask: Bool[Tensor, "batch real"]) -> Memory:
        """As `Seq2Seq.encode`."""
        return self.encoder(*self.source.read(source, mask))

    def map_batches(self, search: Callable[[Batch], Found], batches: Sequence[Batch]) -> Iterator[Found]:
        """What is found for each batch, in order; several are searched at a time, each on one thread."""
        return map_batches(search, batches)


class CompiledEncoder:
    """A `TransformerEncoder` whose blocks are compiled."""

    def __init__(self, plain: TransformerEncoder) -> None:
        blocks = cast(list[EncoderBlock], list(plain.layers))
        self.layers = plain.layers
        self._stack = weights.encoder_stack(blocks, plain.window, plain.final_norm)
        self._places = _Places(plain.positions, self._stack.spec.dim)

    def __call__(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """As `TransformerEncoder.forward`, but states of padding are those before the blocks."""
        length = embedded.shape[1]
        added, rotation = self._places.until(length)
        states = embedded + torch.from_numpy(added[:length])
        array, texts = states.numpy(), attention.texts_of(mask.numpy())

        def encode(first: int, last: int) -> None:
            block.encode(self._stack, array, rotation, texts, first, last)

        deal(encode, len(states), self._stack.blocks.levels.size * length)
        return Memory(states, mask, mean_of_real(states, mask))


class CompiledDecoder(TopKDecoder):
    """Any decoder, whose choice among all tokens is compiled."""

    def __init__(self, plain: Decoder) -> None:
        assert isinstance(plain.output.quantized, QuantizedLinear)
        super().__init__(plain.output)
        self.plain = plain
        self._table = weights.table_of(plain.output.quantized)

    def start(self, memory: Memory) -> State:
        """As the decoder's."""
        return self.plain.start(memory)

    def advance(self, token: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch dim"], State]:
        """As the decoder's."""
        return self.plain.advance(token, state)

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """As the decoder's."""
        return self.plain.forward(target_in, memory)

    def topk(
        self,
        features: Float[Tensor, "rows dim"],
        state: State,
        totals: Float[Tensor, "sentences width"],
        suppress: Int[Tensor, " suppressed"],
        count: int,
    ) -> Continuations:
        """See `models.interface.TopKDecoder`: of the best of each beginning, the best of each sentence."""
        rows, vocab = len(features), len(self.output.weight)
        count = min(count, vocab)
        gains, tokens = np.empty((rows, count), np.float32), np.empty((rows, count), np.int64)
        array, closed = features.numpy(), suppress.numpy()

        def choose(first: int, last: int) -> None:
            topk.topk(self._table, vocab, array, closed, gains, tokens, first, last)

        deal(choose, rows, self._table.levels.size)
        of_rows, found = torch.from_numpy(gains), torch.from_numpy(tokens)
        if totals.shape[1] == 1:
            return Continuations(of_rows + totals, torch.zeros_like(found), found)
        # (sentences, width × count): the best of a sentence are among the best of each of its beginnings.
        grown = (of_rows.unflatten(0, totals.shape) + totals[..., None]).flatten(1)
        best, index = grown.topk(count)
        return Continuations(best, index // count, found.view(len(totals), -1).gather(1, index))

    def fewest_scores(self, count: int) -> int:
        """Those of the tokens that are chosen: of all others, only a few rows' exist at once."""
        return count


class CompiledState(NamedTuple):
    """Of a `CompiledTransformer`. It is advanced once: the new one is written into the memory of the old."""

    sentences: Shared[Int[Tensor, " sentences"]]
    """Which of those that search began with are still searched. What is kept of others stays where it is."""
    slots: Int[Tensor, "batch position"]
    """Where in the past of its sentence each beginning's own tokens are."""
    past: attention.KeyValues
    used: int
    """How many slots of each sentence's past are."""
    source: attention.Source


class CompiledTransformer(CompiledDecoder):
    """A `TransformerDecoder` whose blocks are compiled."""

    def __init__(self, plain: TransformerDecoder) -> None:
        super().__init__(plain)
        blocks = cast(list[DecoderBlock], list(plain.layers))
        self._embedding = plain.embedding
        self._stack = weights.decoder_stack(blocks, plain.window, plain.final_norm)
        self._of_source = weights.source_projections(blocks)
        self._places = _Places(plain.positions, self._stack.spec.dim)

    def start(self, memory: Memory) -> CompiledState:
        """The source's keys and values for each block, and an empty past."""
        (sentences, length), spec, blocks = memory.mask.shape, self._stack.spec, len(self._of_source.levels)
        texts, states = attention.texts_of(memory.mask.numpy()), memory.states.contiguous().numpy()
        source = attention.empty_cache(spec, sentences, blocks, length)

        def project(first: int, last: int) -> None:
            block.project_source(spec, self._of_source, states, texts, source, first, last)

        deal(project, sentences, self._of_source.levels.size * length)
        return CompiledState(
            sentences=Shared(torch.arange(sentences, dtype=torch.int32)),
            slots=torch.empty(sentences, 0, dtype=torch.int32),
            past=attention.empty_cache(spec, sentences, blocks, 0),
            used=0,
            source=attention.Source(source, texts.counts),
        )

    def advance(
        self, token: Int[Tensor, " batch"], state: CompiledState
    ) -> tuple[Float[Tensor, "batch dim"], CompiledState]:
        """One position through all blocks; the ones before it are not computed again."""
        sentences, position = state.sentences.content, state.slots.shape[1]
        which, width = sentences.numpy(), len(token) // len(sentences)
        slots, past, used = state.slots, state.past, state.used
        # Slots that no beginning sees any more are given up only when room runs out, as all others are moved
        # then.
        if used + width > past.values.shape[3]:
            past, kept, used = attention.compacted(
                self._stack.spec, attention.Past(past, slots.numpy(), used), which, width
            )
            slots = torch.from_numpy(kept)
        # The same slots in each sentence: the first beginning has the first.
        new = torch.arange(used, used + width, dtype=torch.int32).repeat(len(sentences))
        slots, used = torch.cat([slots, new[:, None]], dim=1), used + width

        added, rotation = self._places.until(position + 1)
        states = block.embed(
            token.numpy(), self._embedding.weight.numpy(), self._embedding.scale, added[position]
        )
        before = attention.Past(past, slots.numpy(), used)

        def step(first: int, last: int) -> None:
            block.step(self._stack, states, rotation[position], which, before, state.source, first, last)

        deal(step, len(token), self._stack.blocks.levels.size)
        return torch.from_numpy(states), state._replace(slots=slots, past=past, used=used)


class _Places:
    """What a module of positions does to vectors, for as many positions as were ever asked for."""

    def __init__(self, positions: nn.Module, dim: int) -> None:
        self._positions, self._dim = positions, dim
        self._known = np.empty((0, dim), np.float32), np.empty((0, 0), np.float32)

    def until(
        self, length: int
    ) -> tuple[Float[np.ndarray, "positions dim"], Float[np.ndarray, "positions head_dim"]]:
        """What each adds, and its rotation (without columns where there is none), for `length` or more."""
        if length > len(self._known[0]):
            # Of zeros, what comes out is what is added. Twice as many as asked for, as a search asks for one
            # more each step.
            placed = self._positions(torch.zeros(1, 2 * length, self._dim))
            added = placed.states[0].detach().numpy()
            without = np.empty((2 * length, 0), np.float32)
            self._known = added, without if placed.rotation is None else placed.rotation.numpy()
        return self._known
