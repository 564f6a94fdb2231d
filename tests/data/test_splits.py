import unicodedata
from collections import Counter, defaultdict
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data import splits as splits_module
from atonce.data.pairs import Pair
from atonce.data.splits import (
    LARGEST_GROUP_CUT,
    Hashes,
    Side,
    connected,
    cut,
    overlaps,
    overlaps_by_target,
    repeated_targets,
    text_keys,
)

words = st.sampled_from(["a", "A.", "b", "c", "(d)", "d", "e!", "e", "f", "g", "H", "h", "i", "?", "!"])
corpora = st.lists(st.builds(Pair, words | st.text(max_size=3), words | st.text(max_size=3)), min_size=1)


def key(text: str) -> str:
    """That of one text, without help from its neighbours."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(one for one in folded if unicodedata.category(one)[0] not in "PSZC") or text


def groups_by_search(pairs: list[Pair]) -> list[frozenset[int]]:
    """The groups, found the slow and plain way."""
    by_key: defaultdict[tuple[int, str], set[int]] = defaultdict(set)
    for index, pair in enumerate(pairs):
        for side, text in enumerate(pair):
            by_key[side, key(text)].add(index)
    groups = []
    left = set(range(len(pairs)))
    while left:
        group, reached = set(), {min(left)}
        while reached:
            group |= reached
            keys = [(side, key(text)) for index in reached for side, text in enumerate(pairs[index])]
            reached = {index for key in keys for index in by_key[key]} - group
        groups.append(frozenset(group))
        left -= group
    return groups


@given(corpora)
def test_groups_are_what_a_search_finds(pairs: list[Pair]) -> None:
    label = connected(Hashes.of(pairs))
    for group in groups_by_search(pairs):
        assert {int(label[index]) for index in group} == {min(group)}


@given(corpora, st.integers(0, 10), st.integers(0, 10))
def test_splits_never_leak(pairs: list[Pair], valid_size: int, test_size: int) -> None:
    sides = cut(Hashes.of(pairs), valid_size=valid_size, test_size=test_size)
    for group in groups_by_search(pairs):
        assert len({int(sides[index]) for index in group}) == 1, "a group was torn apart"
        assert len(group) <= LARGEST_GROUP_CUT or sides[min(group)] == Side.TRAIN
    assert (sides == Side.VALID).sum() <= min(valid_size, len(pairs) // 10)
    assert (sides == Side.TEST).sum() <= min(test_size, len(pairs) // 10)


@given(st.randoms())
def test_the_order_of_a_corpus_does_not_matter(random: Random) -> None:
    pairs = [Pair(f"source {n // 2}", f"target {n}") for n in range(200)]
    shuffled = pairs.copy()
    random.shuffle(shuffled)
    sides = [
        dict(zip(order, cut(Hashes.of(order), valid_size=9, test_size=8).tolist(), strict=True))
        for order in (pairs, shuffled)
    ]
    assert sides[0] == sides[1]
    assert list(sides[0].values()).count(Side.VALID) >= 8


def test_splits_are_the_same_on_every_machine() -> None:
    """Numbers from one machine: a split that changes would test old models on what they were trained on."""
    sides = cut(Hashes.of([Pair(f"s{n}", f"t{n}") for n in range(50)]), valid_size=3, test_size=2)
    assert np.flatnonzero(sides == Side.VALID).tolist() == [8, 20, 22]
    assert np.flatnonzero(sides == Side.TEST).tolist() == [25, 35]


def test_sizes_are_reached_and_at_most_a_tenth() -> None:
    hashes = Hashes.of([Pair(f"s{n}", f"t{n}") for n in range(1000)])
    for asked, got in ((30, 30), (100, 100), (500, 100)):
        assert (cut(hashes, valid_size=asked, test_size=7) == Side.VALID).sum() == got


def test_a_long_chain_is_one_group() -> None:
    """Neighbours share a side; the numbers are shuffled, as that is the hard case for passing labels on."""
    n = 20_000
    order = np.random.default_rng(0).permutation(n)
    label = connected(Hashes(((order + 1) // 2).astype(np.int64), (order // 2).astype(np.int64)))
    assert (label == 0).all()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World!", "hello world"),
        ("STRASSE", "Straße"),
        ("¿Qué?", "que\u0301? ".replace("que", "Que")),
        ("「東京」。", "東京"),
        ("Ｆｕｌｌ ｗｉｄｔｈ", "full width"),
    ],
)
def test_case_and_punctuation_do_not_count(one: str, other: str) -> None:
    keys = text_keys([one, other])
    assert keys[0] == keys[1] == key(one)


@pytest.mark.parametrize(
    ("one", "other"), [("की", "का"), ("...", "!"), ("é", "e"), ("पानी", "पनी"), ("1", "2"), ("ก่า", "กา")]
)
def test_letters_marks_and_digits_count(one: str, other: str) -> None:
    keys = text_keys([one, other])
    assert keys[0] != keys[1]


@given(st.lists(st.text() | st.text("e\u0301ﬁ!.\n\r\u2028 İß"), min_size=1, max_size=5))
def test_texts_do_not_touch_their_neighbours(texts: list[str]) -> None:
    assert text_keys(texts) == [key(text) for text in texts]


def test_every_character_is_kept_or_dropped_as_unicode_says() -> None:
    some = [f"a{chr(code)}b" for code in range(0, 0x110000, 7) if not 0xD800 <= code < 0xE000]
    assert text_keys(some) == [key(text) for text in some]


def test_sharing_either_side_is_enough() -> None:
    given_pairs = Hashes.of([Pair("Yes.", "Ja."), Pair("no", "nein")])
    pairs = [Pair("yes", "jawohl"), Pair("indeed", "ja!"), Pair("ja", "yes"), Pair("maybe", "vielleicht")]
    assert overlaps(Hashes.of(pairs), given_pairs).tolist() == [True, True, False, False]


@given(corpora, corpora)
def test_sharing_is_what_a_search_finds(pairs: list[Pair], given_pairs: list[Pair]) -> None:
    sides = [{key(pair[side]) for pair in given_pairs} for side in (0, 1)]
    expected = [key(pair.source) in sides[0] or key(pair.target) in sides[1] for pair in pairs]
    assert overlaps(Hashes.of(pairs), Hashes.of(given_pairs)).tolist() == expected


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=10),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_whole_groups_are_drawn_in_the_order_of_their_hashes(
    numbers: list[tuple[int, int]], valid_size: int, test_size: int
) -> None:
    hashes = Hashes(*np.array(numbers).T.copy())
    label, most = connected(hashes), len(numbers) // 10
    totals = {
        one: sum(int(splits_module._mixed(hashes)[index]) for index in np.flatnonzero(label == one)) % 2**64
        for one in set(label.tolist())
    }
    small = [one for one in totals if (label == one).sum() <= LARGEST_GROUP_CUT]
    expected = np.full(len(numbers), int(Side.TRAIN))
    rest = sorted(small, key=lambda one: (totals[one], one))
    for side, size in ((Side.VALID, valid_size), (Side.TEST, test_size)):
        room = min(size, most)
        while rest and (pairs := (label == rest[0])).sum() <= room:
            expected[pairs] = side
            room -= pairs.sum()
            rest.pop(0)
    assert cut(hashes, valid_size=valid_size, test_size=test_size).tolist() == expected.tolist()


def test_nothing_to_split() -> None:
    assert len(cut(Hashes.of([]), valid_size=1, test_size=1)) == 0


def test_sharing_the_target_alone() -> None:
    pairs = [Pair("a", "x"), Pair("b", "x"), Pair("c", "y")]
    found = overlaps_by_target(Hashes.of(pairs), Hashes.of([Pair("a", "x"), Pair("d", "z")]))
    assert found.tolist() == [False, True, False]


@given(corpora, st.integers(1, 5))
def test_repeated_targets_are_those_of_several_sources(pairs: list[Pair], at_once: int) -> None:
    different = {(key(pair.source), key(pair.target)) for pair in pairs}
    counts = Counter(target for _, target in different)
    expected = sum(count for count in counts.values() if count > 1) / max(1, len(different))
    assert repeated_targets(Hashes.of(pairs)) == pytest.approx(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits_module, "_LOOKED_UP_AT_ONCE", at_once)
        assert 0 <= repeated_targets(Hashes.of(pairs)) <= 1


def test_of_very_many_pairs_some_targets_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [Pair(f"a {n}", f"b {n // 2 if n < 1_000 else n}") for n in range(4_000)]
    monkeypatch.setattr(splits_module, "_LOOKED_UP_AT_ONCE", 1_000)
    assert repeated_targets(Hashes.of(pairs)) == pytest.approx(1 / 4, abs=0.05)
