"""From text to text: the one pipeline that training, command line, Python and pictures share."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import overload

import torch
from torch import Tensor

from atonce.data.config import Normalization
from atonce.data.io_spec import IOSpec
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.batching import batches_by_length, consecutive, padded, segments
from atonce.decoding.beam import BeamStep
from atonce.decoding.hypothesis import Hypothesis, SpecialTokens
from atonce.decoding.predictor import Predictor
from atonce.decoding.search import (
    SearchOptions,
    check_drawing,
    check_outputs,
    check_search_fits,
    search,
)
from atonce.decoding.translation import Alternative, Translation, one_line, translation_of
from atonce.errors import RecipeError
from atonce.models.interface import Memory, SearchModel, stacked
from atonce.models.seq2seq import Seq2Seq
from atonce.pauses import pause
from atonce.runs.recipe import DecodingConfig, Recipe
from atonce.shapes import Bool, Int

ENCODED_AT_ONCE = 1_024
"""Positions that a CPU encodes together."""


class Translator(Predictor):
    """A trained model from text to text, with its vocabulary. `atonce.load` gives one.

    Sentences are searched in batches of like length and given back in order; batching changes no output.
    """

    tasks = ("translation", "summarization")

    def __init__(
        self,
        model: Seq2Seq,
        tokenizer: Tokenizer,
        config: DecodingConfig,
        *,
        longest_source: int = 256,
        whole: bool = False,
        name: str = "model",
    ) -> None:
        """`longest_source`: tokens of the longest source it was trained on; longer texts go in segments.

        `whole`: what is written is about a text as a whole, a summary: of a longer one, only the beginning is
        read. `name`: what figures call it.
        """
        super().__init__(model, name)
        self.tokenizer = tokenizer
        self.config = config
        self.longest_source = longest_source
        self.whole = whole

    @classmethod
    def of(cls, model: Seq2Seq, io_spec: IOSpec, recipe: Recipe, *, name: str = "model") -> "Translator":
        """A model from text to text that was made by this recipe."""
        return cls(
            model, io_spec.tokenizer, recipe.decoding, longest_source=recipe.data.max_length,
            whole=recipe.data.task == "summarization", name=name,
        )  # fmt: skip

    @overload  # a str is a sequence of them, too: the first that fits is taken
    def translate(  # type: ignore[overload-overlap]
        self,
        texts: str,
        *,
        beam: int | None = None,
        nbest: int = 1,
        temperature: float = 0.0,
        prefix: str | Sequence[int] = (),
        generator: torch.Generator | None = None,
        on_progress: Callable[[int], None] = ...,
    ) -> Translation: ...
    @overload
    def translate(
        self,
        texts: Sequence[str],
        *,
        beam: int | None = None,
        nbest: int = 1,
        temperature: float = 0.0,
        prefix: str | Sequence[int] = (),
        generator: torch.Generator | None = None,
        on_progress: Callable[[int], None] = ...,
    ) -> list[Translation]: ...
    def translate(
        self,
        texts: str | Sequence[str],
        *,
        beam: int | None = None,
        nbest: int = 1,
        temperature: float = 0.0,
        prefix: str | Sequence[int] = (),
        generator: torch.Generator | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> Translation | list[Translation]:
        """Translate (or summarize) one text, or each of a list of them; an empty one stays empty.

        `beam`: hypotheses kept at each step (the recipe's by default; 1 is greedy). `nbest`: alternatives
        wanted; the beam is at least as wide. `temperature`: above 0, draw tokens at random instead
        (with `generator`, or torch's own); then `nbest` outputs are drawn, each by itself, so
        that likely ones may come twice. `prefix`: a text, or tokens by number, that every output begins
        with. `on_progress` is called with the number of segments done since the last call.

        Raises RecipeError for a temperature below 0, or a beam beside one: what is drawn is not searched for;
        and for a beam or `nbest` below 1.
        With a prefix, raises RecipeError for a text that is too long to be read at once, or for tokens that
        no output begins with. White space at the end of a prefix is not forced: it belongs to the next word.
        """
        if isinstance(texts, str):
            return self.translate(
                [texts], beam=beam, nbest=nbest, temperature=temperature, prefix=prefix, generator=generator,
                on_progress=on_progress,
            )[0]  # fmt: skip
        check_outputs(beam, nbest)
        check_drawing(temperature, beam)
        draws = nbest if temperature > 0 else 0
        options = SearchOptions(
            width=max(beam or self.config.beam, nbest), alpha=self.config.length_penalty,
            temperature=temperature, draws=draws or 1, prefix=self.prefix_tokens(prefix), generator=generator,
        )  # fmt: skip
        parts = self._parts(texts)
        sources = [part for text_parts in parts for part in text_parts]
        if options.prefix and max(map(len, parts), default=0) > 1:
            raise self._too_long()
        with self.evaluating():
            # All parts of all texts together, so that batches are full whatever text a part is of.
            found = iter(self._search(sources, options, on_progress))
        return [
            self._signed(self._joined([next(found) for _ in text_parts], nbest, draws), text)
            for text, text_parts in zip(texts, parts, strict=True)
        ]

    def _signed(self, found: Translation, source: str) -> Translation:
        """The same, which knows of what text it was made, and by whom."""
        signed = replace(found, source=source)
        # Past the frozen dataclass: it is no field (`Translation`).
        object.__setattr__(signed, "_translator", self)
        return signed

    def hypotheses(
        self,
        text: str,
        *,
        beam: int | None = None,
        temperature: float = 0.0,
        draws: int = 1,
        generator: torch.Generator | None = None,
        prefix: str | Sequence[int] = (),
        without: Collection[int] = (),
        on_step: Callable[[BeamStep], None] | None = None,
    ) -> list[Hypothesis]:
        """The best outputs for one text as tokens, at most `beam` of them, best first.

        With a `temperature`, as many as `draws` says are drawn instead; they may be equal. `beam`,
        `temperature`, `generator`, `prefix`: see `translate`; `without`: see `source_tokens`; `on_step`: see
        `beam_search`, which is used for a beam of 1 too, then. Raises RecipeError as these do. A blank text
        is no exception here: the model reads the end of the sentence and writes what it will.
        """
        check_outputs(beam, draws)
        check_drawing(temperature, beam)
        source = self.source_tokens(text, without=without)
        options = SearchOptions(
            width=beam or self.config.beam, alpha=self.config.length_penalty, temperature=temperature,
            draws=draws, prefix=self.prefix_tokens(prefix), generator=generator, on_step=on_step,
        )  # fmt: skip
        with self.evaluating():
            found = self._search([source], options)[0]
        return sorted(found, key=lambda one: -one.score)

    def source_tokens(self, text: str, *, without: Collection[int] = ()) -> list[int]:
        """The tokens that are read of one text, without the end of the sentence, which comes behind them.

        `without`: places of tokens that are left out, counted from 0. Left out means as if the text did not
        have them: what comes behind moves up. A mask in the middle of a text would mean something else to
        each model (a recurrent net has read the word by then, a Transformer keeps its place free), and
        nothing that it has met in training; this means the same to all.

        Raises RecipeError for a text that is too long to be read at once, or for a place that it has not.
        """
        tokens = self.tokenizer.encode(text)
        if self.whole:
            tokens = tokens[: self.longest_source]
        elif self.in_segments(text):
            raise self._too_long()
        return _without(tokens, without)

    def is_blank(self, text: str) -> bool:
        """Whether a text has nothing to be translated: its output is empty, too."""
        return not self.tokenizer.normalized(text).strip()

    def in_segments(self, text: str) -> bool:
        """Whether a text is too long to be read at once, and goes in segments."""
        return not self.whole and len(self.tokenizer.encode(text)) >= self.longest_source

    def longest_output(self, source: int) -> int:
        """Tokens after which an output is cut off, of a source of so many."""
        # A ratio alone would cut off what very short texts become.
        return int(self.config.max_length_ratio * source) + 10

    def prefix_tokens(self, prefix: str | Sequence[int]) -> list[int]:
        """The tokens of a prefix, a text or tokens by number: see `translate`."""
        return self.tokenizer.encode(prefix.rstrip()) if isinstance(prefix, str) else self._known(prefix)

    def target_tokens(self, target: str | Sequence[int]) -> list[int]:
        """The tokens of a whole output, a text or tokens by number, as search finds them.

        A text has `eos` behind it; tokens have it where it is the last of them, and are cut off without it.
        Raises RecipeError for tokens that are not part of a text, or if there is none at all.
        """
        if isinstance(target, str):
            return [*self.tokenizer.encode(target), self.tokenizer.eos]
        if not target:
            raise RecipeError(
                "there is no output", why="it has no token, not even the end", fix="give a text, or tokens"
            )
        has_end = target[-1] == self.tokenizer.eos
        return [*self._known(target[:-1]), *(target[-1:] if has_end else self._known(target[-1:]))]

    def stream(self, text: str, on_text: Callable[[str], None]) -> Translation:
        """Translate `text` greedily; `on_text` is called with the output so far whenever it has grown.

        The result is that of `translate` with a beam of 1. A character that is made of several tokens may
        look odd until the last of them is there.
        """
        found: list[list[Hypothesis]] = []
        so_far: list[str] = []

        def take(_: int, token: int) -> None:
            tokens.append(token)
            now = " ".join([*so_far, one_line(self.tokenizer, tokens)])
            if token != self.tokenizer.eos:
                on_text(now)

        options = SearchOptions(alpha=self.config.length_penalty, on_token=take)
        with self.evaluating():
            for part in self._parts([text])[0]:
                # Anew for each part: `take` writes into what is there when it is called.
                tokens: list[int] = []
                found += self._search([part], options)
                so_far.append(one_line(self.tokenizer, tokens))
        return self._joined(found, 1)

    @property
    def normalization(self) -> Normalization:
        """That of its tokenizer."""
        return self.tokenizer.normalization

    def outputs(
        self,
        sources: Sequence[str],
        *,
        beam: int | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> list[str]:
        """The best output for each text."""
        return [
            translation.text for translation in self.translate(sources, beam=beam, on_progress=on_progress)
        ]

    def read(
        self, sources: Sequence[Sequence[int]]
    ) -> tuple[Int[Tensor, "batch source_len"], Bool[Tensor, "batch source_len"]]:
        """Sources as the model takes them: with `eos` at the end, padded, with their mask."""
        return padded([[*source, self.tokenizer.eos] for source in sources], self.device)

    def _parts(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """The tokens of each text, in as many parts as are read one by one."""
        parts: list[list[list[int]]] = []
        for text, tokens in zip(texts, self.tokenizer.encode_lines(list(texts)), strict=True):
            if not tokens or not text.strip():  # spelt as it is read, it may have nothing that is read
                parts.append([])
            elif self.whole:
                parts.append([tokens[: self.longest_source]])
            elif len(tokens) < self.longest_source:
                parts.append([tokens])
            else:
                cut = segments(self.tokenizer.normalized(text), self.tokenizer, self.longest_source)
                parts.append(self.tokenizer.encode_lines(cut))
            pause()
        return parts

    def _search(
        self,
        sources: list[list[int]],
        options: SearchOptions,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> list[list[Hypothesis]]:
        """The best hypotheses for each source, in order."""
        found: list[list[Hypothesis]] = [[] for _ in sources]
        # Of very short sources, what is kept grows with the outputs, which may be many times as long.
        lengths = [max(len(source) + 1, self.longest_output(len(source)) // 3) for source in sources]
        model = self.search_model(options)
        at_once = min(self.config.batch_tokens, model.batch_tokens or self.config.batch_tokens)
        # Twice: by source, so that what is encoded together is of like length, and then by what is kept.
        order = sorted(range(len(sources)), key=lambda index: -len(sources[index]))
        planned = batches_by_length([lengths[index] for index in order], at_once // options.width)
        batches = [[order[place] for place in places] for places in planned]
        if batches:
            # Once for all batches, before the first: a long file fails at once or not for this.
            check_search_fits(model.decoder, options)

        @torch.inference_mode()  # which holds for this thread alone
        def of(indices: list[int]) -> list[list[Hypothesis]]:
            batch = [sources[index] for index in indices]
            longest = [self.longest_output(len(source)) for source in batch]
            outputs = search(model.decoder, self._memory(model, batch), self.tokenizer, longest, options)
            pause()  # here, and not below: others may be searched side by side, and pause, too
            return outputs

        # Side by side, batches would draw their random numbers in any order.
        results = map(of, batches) if options.temperature > 0 else model.map_batches(of, batches)
        for indices, hypotheses in zip(batches, results, strict=True):
            for index, one in zip(indices, hypotheses, strict=True):
                found[index] = one
            on_progress(len(indices))
        return found

    def _known(self, tokens: Sequence[int]) -> list[int]:
        """These tokens. Raises RecipeError for those that are no part of a text."""
        special = {*SpecialTokens.of(self.tokenizer).suppress, self.tokenizer.eos}
        for token in tokens:
            if token in special or not 0 <= token < self.tokenizer.size:
                raise RecipeError(
                    f"token {token} cannot be part of an output",
                    why="it is no part of a text"
                    if token in special
                    else f"there are {self.tokenizer.size} tokens",
                    fix="give numbers of tokens that the tokenizer made of a text, or the text itself",
                )
        return list(tokens)

    def _too_long(self) -> RecipeError:
        return RecipeError(
            "the text is too long to be read at once",
            why=f"it has {self.longest_source} tokens or more, and {self.name} reads such texts in parts",
            fix="give one part of it",
        )

    def _memory(self, model: SearchModel, batch: list[list[int]]) -> Memory:
        """What the encoder makes of a batch, in order.

        On a CPU a few at a time, of like length where the batch is sorted: with little padding, and what is
        computed stays in caches.
        """
        if self.device.type != "cpu":
            return model.encode(*self.read(batch))
        memories = []
        for few in consecutive(batch, ENCODED_AT_ONCE):
            memories.append(model.encode(*self.read(few)))
            pause()
        return stacked(memories)

    def _joined(self, parts: list[list[Hypothesis]], nbest: int, draws: int = 0) -> Translation:
        """One translation from the hypotheses of a text's segments; of several, the best of each.

        `draws`: how many were drawn of each segment, 0 where they were searched for. All are kept.
        """
        if draws:
            return self._drawn([[hypotheses[draw] for hypotheses in parts] for draw in range(draws)])
        if len(parts) == 1:
            return translation_of(parts[0], self.tokenizer, nbest)
        best = self._one([hypotheses[0] for hypotheses in parts])
        return Translation(best.text, best.score, (best,))

    def drawn_of(self, hypotheses: Sequence[Hypothesis]) -> Translation:
        """All that was drawn as texts, best first; likely ones may be there twice."""
        return self._drawn([[hypothesis] for hypothesis in hypotheses])

    def _drawn(self, draws: list[list[Hypothesis]]) -> Translation:
        alternatives = tuple(sorted(map(self._one, draws), key=lambda one: -one.score))
        return Translation(alternatives[0].text, alternatives[0].score, alternatives)

    def _one(self, parts: list[Hypothesis]) -> Alternative:
        """One output from one hypothesis of each segment; a blank text has none."""
        text = " ".join(one_line(self.tokenizer, hypothesis.tokens) for hypothesis in parts)
        return Alternative(text, sum(hypothesis.score for hypothesis in parts) / max(len(parts), 1))


def _without(tokens: list[int], places: Collection[int]) -> list[int]:
    beyond = [place for place in places if not 0 <= place < len(tokens)]
    if beyond:
        raise RecipeError(
            f"token {beyond[0]} cannot be left out",
            why=f"the text has {len(tokens)} tokens, and its end stays",
            fix=f"give places from 0 to {len(tokens) - 1}" if tokens else "leave nothing out",
        )
    left_out = set(places)
    return [token for place, token in enumerate(tokens) if place not in left_out]
