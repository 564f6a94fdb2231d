from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from atonce.data.pairs import Examples
from atonce.fast import lexicon as lexicon_module
from atonce.fast.lexicon import LIKELY, ROUNDS, Lexicon

SIZE, EOS = 60, 2


def stored(folder: Path, pairs: Iterable[tuple[list[int], list[int]]]) -> Examples:
    with_ends = (([*source, EOS], [*target, EOS]) for source, target in pairs)
    return Examples.write(folder, with_ends, vocabulary_size=SIZE)


def in_another_language(draw: np.random.Generator) -> tuple[list[int], list[int]]:
    """Tokens 10 to 29 become 30 to 49, in another order."""
    source = draw.choice(np.arange(10, 30), size=draw.integers(2, 7), replace=False)
    return source.tolist(), draw.permutation(source + 20).tolist()


@pytest.fixture
def translated(tmp_path: Path) -> Examples:
    draw = np.random.default_rng(0)
    return stored(tmp_path / "pairs", (in_another_language(draw) for _ in range(300)))


def test_what_a_token_becomes_is_found_without_being_told(translated: Examples) -> None:
    lexicon = Lexicon.learn(translated, SIZE)
    for token in range(10, 30):
        assert lexicon.likely[token, :2].tolist() == [token, token + 20]
    assert lexicon.likely.shape == (SIZE, LIKELY)
    assert EOS in lexicon.likely[EOS, :2]


def test_a_token_never_seen_becomes_itself(translated: Examples) -> None:
    assert (Lexicon.learn(translated, SIZE).likely[55] == 55).all()


def test_the_most_frequent_come_first_and_what_never_came_is_none_of_them(tmp_path: Path) -> None:
    examples = stored(tmp_path / "pairs", [([5], [7, 7, 7]), ([6], [8, 8, 9])])
    assert Lexicon.learn(examples, SIZE).common.tolist() == [7, EOS, 8, 9]


def test_of_very_many_pairs_the_first_are_learned_from(
    translated: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = (translated.source_lengths * translated.target_lengths)[:40].sum()
    monkeypatch.setattr(lexicon_module, "MOST_LINKS", int(links))
    pairs = [translated[number] for number in range(40)]
    first = stored(tmp_path / "first", ((s[:-1].tolist(), t[:-1].tolist()) for s, t in pairs))
    some, all_of_first = Lexicon.learn(translated, SIZE), Lexicon.learn(first, SIZE)
    assert (some.likely == all_of_first.likely).all()
    assert (some.common == all_of_first.common).all()


def test_each_round_is_told(translated: Examples) -> None:
    rounds: list[int] = []
    Lexicon.learn(translated, SIZE, on_progress=rounds.append)
    assert rounds == [1] * ROUNDS
