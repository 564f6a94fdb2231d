"""The tree of beam search: every hypothesis that it compared, kept or pruned."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from atonce.decoding.beam import BeamStep, Hypotheses
from atonce.decoding.hypothesis import Hypothesis, length_penalty
from atonce.decoding.translation import one_line
from atonce.decoding.translator import Translator
from atonce.explain.words import END_OF_SENTENCE
from atonce.result import Result


@dataclass(frozen=True)
class BeamNode(Result):
    """One hypothesis: its parent with one more token."""

    id: int
    """Its place in `BeamTree.nodes`."""
    parent: int | None
    """The id of the hypothesis it continues; None of the root."""
    token: str
    """The token it adds, as it is written; of the root, the text that is forced."""
    token_id: int | None
    """The same by number; None of the root."""
    text: str
    """The output up to here."""
    log_probability: float
    """Of the token, given the source and the parent, in nats; of the root, of all that is forced."""
    total: float
    """Of all tokens up to here."""
    score: float
    """`total` divided by the length penalty: what outputs are compared by."""
    step: int
    """How many tokens there are up to here."""
    rank: int
    """Its place by `total` among all continuations that were compared in its step, from 1; 0 of the root."""
    kept: bool
    """Whether search continued with it; if it ended, whether it is one of the outputs."""
    ended: bool
    """Whether it is a whole output: it has its end, or is as long as an output may be."""
    place: int | None
    """Its place among the outputs, from 1; None if it is none of them."""


@dataclass(frozen=True)
class BeamTree(Result):
    """All hypotheses of beam search: at each step, the 2 × `width` best continuations of those it kept."""

    source: str
    width: int
    """Hypotheses that are kept at each step, and outputs that are found, at most."""
    alpha: float
    """The exponent of the length penalty."""
    nodes: tuple[BeamNode, ...]
    """Step after step, the likeliest first; the first is the root, which is empty or what is forced."""

    @property
    def outputs(self) -> tuple[BeamNode, ...]:
        """The outputs that were found, best first."""
        found = [node for node in self.nodes if node.place is not None]
        return tuple(sorted(found, key=lambda node: node.place or 0))


def beam_tree(
    translator: Translator,
    text: str,
    *,
    beam: int | None = None,
    prefix: str | Sequence[int] = (),
    without: Collection[int] = (),
) -> BeamTree:
    """Translate `text` and keep all hypotheses of the search.

    `beam`, `prefix`, `without`: see `Translator.hypotheses`, which finds the same outputs. A beam of 1 shows
    greedy search. With short lists of tokens (`fast`), the listed share the probability, as in search. Raises
    RecipeError for a text that is too long to be read at once, or for unknown tokens.
    """
    alpha = translator.config.length_penalty
    tree = _TreeBuilder(translator, alpha)
    found = translator.hypotheses(text, beam=beam, prefix=prefix, without=without, on_step=tree.take)
    nodes = tree.nodes_with(found)
    return BeamTree(text, beam or translator.config.beam, alpha, nodes)


class _TreeBuilder:
    """The tree while search goes on."""

    def __init__(self, translator: Translator, alpha: float) -> None:
        self.tokenizer, self.alpha = translator.tokenizer, alpha
        self.nodes: list[BeamNode] = []
        # By tokens and not by rows: the rows of a beam change places at every step.
        self.ids: dict[tuple[int, ...], int] = {}
        """Of each hypothesis, by its tokens."""

    def take(self, step: BeamStep) -> None:
        """Add the hypotheses of one step. There is one sentence."""
        # As lists: each item that is taken from a tensor would be a tensor of its own.
        hypotheses = step.before.tokens[0].tolist()
        totals = step.before.totals[0].tolist()
        if not self.nodes:
            self._add(tuple(hypotheses[0]), None, totals[0], totals[0])
        kept = _rows(step.after)
        is_cut_off = bool(step.cut_off[0])
        choices = zip(*(part[0].tolist() for part in step.choice), strict=True)
        for rank, (total, place, token) in enumerate(choices, start=1):
            if total == -float("inf"):  # a row of the beam that is not used, or a token that may not come
                continue
            parent = tuple(hypotheses[place])
            tokens = (*parent, token)
            ended = token == self.tokenizer.eos or is_cut_off
            self._add(
                tokens, self.ids[parent], total, total - totals[place],
                rank=rank, kept=tokens in kept and not ended, ended=ended,
            )  # fmt: skip

    def nodes_with(self, found: Sequence[Hypothesis]) -> tuple[BeamNode, ...]:
        """All nodes; those that became outputs are marked as kept."""
        # Only now: a hypothesis that has ended may still lose its place among the outputs to a later one.
        for place, hypothesis in enumerate(found, start=1):
            node = self.ids[hypothesis.tokens]
            self.nodes[node] = replace(self.nodes[node], kept=True, place=place)
        return tuple(self.nodes)

    def _add(
        self, tokens: tuple[int, ...], parent: int | None, total: float, gain: float, *,
        rank: int = 0, kept: bool = True, ended: bool = False,
    ) -> None:  # fmt: skip
        text = one_line(self.tokenizer, tokens)
        last = None if parent is None else tokens[-1]
        self.ids[tokens] = len(self.nodes)
        self.nodes.append(
            BeamNode(
                id=len(self.nodes), parent=parent, token=text if last is None else self._written(last),
                token_id=last, text=text, log_probability=gain, total=total,
                score=total / length_penalty(len(tokens), self.alpha), step=len(tokens), rank=rank, kept=kept,
                ended=ended, place=None,
            )
        )  # fmt: skip

    def _written(self, token: int) -> str:
        return END_OF_SENTENCE if token == self.tokenizer.eos else self.tokenizer.tokens([token])[0]


def _rows(beams: Hypotheses) -> set[tuple[int, ...]]:
    """The hypotheses that there are of the first sentence."""
    rows, totals = beams.tokens[0].tolist(), beams.totals[0].tolist()
    # Minus infinity marks rows that hold none: a beam begins with one.
    return {tuple(row) for row, total in zip(rows, totals, strict=True) if total > -float("inf")}
