import json
import os
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atonce.data import corpus_split, prepare_pairs, splits
from atonce.data import pairs as pairs_module
from atonce.data.config import (
    DataConfig,
    DatesConfig,
    DigitsConfig,
    DigitStringsConfig,
    FilesConfig,
    TableConfig,
    VocabularyConfig,
)
from atonce.data.corpora.digits import open_digits
from atonce.data.corpora.registry import open_corpus
from atonce.data.images import ImageExamples
from atonce.data.io_spec import Labels
from atonce.data.left_out import left_out
from atonce.data.pairs import Corpus, Examples, Pair
from atonce.data.prepare import Prepared, is_prepared, open_prepared, prepare
from atonce.data.splits import Hashes, overlaps
from atonce.data.tokenizer import Tokenizer
from atonce.errors import DataError, DiskError, RunError

VOCABULARY = VocabularyConfig(size=500)


def written(folder: Path, name: str, pairs: list[Pair]) -> dict[str, Any]:
    """Two aligned files; returns the keys of a recipe that name them."""
    prefix = "" if name == "train" else f"{name}_"
    keys = {}
    for side in ("source", "target"):
        path = folder / f"{name}.{side}"
        path.write_text("".join(getattr(pair, side) + "\n" for pair in pairs), encoding="utf-8")
        keys[f"{prefix}{side}"] = str(path)
    return keys


def numbered(first: int, last: int) -> list[Pair]:
    return [Pair(f"The number {n}.", f"Die Zahl {n}.") for n in range(first, last)]


def decoded(tokenizer: Tokenizer, examples: Examples) -> list[Pair]:
    return [
        Pair(*(tokenizer.decode(ids.tolist()) for ids in examples[index])) for index in range(len(examples))
    ]


def consistent(prepared: Prepared) -> bool:
    report = prepared.report
    kept = sum(report[f"{side}_pairs"] for side in ("train", "valid", "test"))
    return bool(report["pairs_read"] == kept + sum(left_out(report).values()))


def respelt(pairs: list[Pair], tokenizer: Tokenizer) -> list[Pair]:
    return [Pair(*map(tokenizer.normalized, pair)) for pair in pairs]


def test_every_pair_goes_to_one_place(small_dates: DatesConfig, tmp_path: Path) -> None:
    prepared = prepare(small_dates, VOCABULARY, tmp_path / "run")
    train = decoded(prepared.tokenizer, prepared.train)
    everything = [*train, *prepared.valid_pairs, *prepared.test_pairs]
    given = respelt(list(open_corpus(small_dates).train()), prepared.tokenizer)
    assert sorted(respelt(everything, prepared.tokenizer)) == sorted(given)
    assert (len(prepared.valid_pairs), len(prepared.test_pairs)) == (20, 30)
    assert decoded(prepared.tokenizer, prepared.valid) == respelt(prepared.valid_pairs, prepared.tokenizer)
    hashes = [Hashes.of(pairs) for pairs in (train, prepared.valid_pairs, prepared.test_pairs)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not overlaps(hashes[one], hashes[other]).any()
    assert consistent(prepared)


def test_the_report(small_dates: DatesConfig, tmp_path: Path) -> None:
    prepared = prepare(small_dates, VOCABULARY, tmp_path)
    report = json.loads((tmp_path / "data.json").read_text())
    assert report == prepared.report
    aside = {*prepared.valid_pairs, *prepared.test_pairs}
    train = [pair for pair in open_corpus(small_dates).train() if pair not in aside]
    text = "".join(f"{pair.source}\t{pair.target}\n" for pair in train)
    assert report["training_sha256"] == sha256(text.encode()).hexdigest()
    assert report["source_pieces"] == prepared.train.source_lengths.sum()
    assert report["target_pieces"] == prepared.train.target_lengths.sum()
    assert report["vocabulary_size"] == prepared.tokenizer.size
    assert report["kind"] == "dates"
    assert "Babel" in report["about"]


def test_examples_end_with_eos(small_dates: DatesConfig, tmp_path: Path) -> None:
    prepared = prepare(small_dates, VOCABULARY, tmp_path)
    for examples in (prepared.train, prepared.valid):
        for index in range(len(examples)):
            for ids in examples[index]:
                assert ids[-1] == prepared.tokenizer.eos
                assert (ids[:-1] > prepared.tokenizer.eos).all()


def test_what_is_prepared_can_be_opened_again(small_dates: DatesConfig, tmp_path: Path) -> None:
    one, other = prepare(small_dates, VOCABULARY, tmp_path), open_prepared(tmp_path)
    assert one.report == other.report
    assert (one.valid_pairs, one.test_pairs) == (other.valid_pairs, other.test_pairs)
    assert one.tokenizer.encode("Thursday 日") == other.tokenizer.encode("Thursday 日")
    assert all((left == right).all() for left, right in zip(one.train[5], other.train[5], strict=True))


def test_without_its_examples_a_folder_is_not_prepared(small_dates: DatesConfig, tmp_path: Path) -> None:
    """They are large, and the report alone is kept by who deletes them."""
    assert not is_prepared(tmp_path)
    prepare(small_dates, VOCABULARY, tmp_path)
    assert is_prepared(tmp_path)
    (tmp_path / "data.json").unlink()
    assert is_prepared(tmp_path), "it had them, and they are not whole"
    prepare(small_dates, VOCABULARY, tmp_path)
    shutil.rmtree(tmp_path / "examples")
    assert not is_prepared(tmp_path)


def test_preparing_twice_gives_the_same_bytes(small_dates: DatesConfig, tmp_path: Path) -> None:
    for name in ("a", "b"):
        prepare(small_dates, VOCABULARY, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 11
    stored = json.loads((tmp_path / "a" / "sums.json").read_text())["files"]
    assert stored.keys() == {file.as_posix() for file in files if file.name != "sums.json"}
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.parametrize("pairs_at_once", [1, 7, 1_000_000])
def test_how_many_pairs_are_held_at_once_changes_nothing(
    small_dates: DatesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs_at_once: int
) -> None:
    prepare(small_dates, VOCABULARY, tmp_path / "a")
    for module in (prepare_pairs, corpus_split, splits):
        monkeypatch.setattr(module, "PAIRS_AT_ONCE", pairs_at_once)
    monkeypatch.setattr(pairs_module, "_WRITTEN_AT_ONCE", pairs_at_once)
    prepare(small_dates, VOCABULARY, tmp_path / "b")
    for file in (path for path in (tmp_path / "a").rglob("*") if path.is_file()):
        other = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == other.read_bytes(), file


def test_only_training_pairs_teach_the_vocabulary(tmp_path: Path) -> None:
    keys = {
        **written(tmp_path, "train", numbered(0, 50)),
        **written(tmp_path, "valid", [Pair("Ω", "ω")]),
        **written(tmp_path, "test", [Pair("Ψ", "ψ")]),
    }
    tokenizer = prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run").tokenizer
    assert not {"Ω", "Ψ"} & set(tokenizer.tokens(range(tokenizer.size)))


def test_a_tokenizer_can_be_given(
    small_dates: DatesConfig, dates_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    prepared = prepare(small_dates, VOCABULARY, tmp_path, tokenizer=dates_tokenizer)
    assert prepared.report["vocabulary_size"] == dates_tokenizer.size != 500
    assert prepared.tokenizer.encode("3 mai 2001") == dates_tokenizer.encode("3 mai 2001")


def test_empty_sides_are_left_out_and_counted(tmp_path: Path) -> None:
    pairs = [Pair("", "x"), *numbered(0, 40), Pair("x", " \t"), Pair("", "")]
    prepared = prepare(FilesConfig(**written(tmp_path, "train", pairs)), VOCABULARY, tmp_path / "run")
    assert (prepared.report["pairs_empty"], prepared.report["pairs_blank"]) == (2, 1)
    assert prepared.report["pairs_read"] == 43
    assert consistent(prepared)


def test_too_long_pairs_do_not_train_and_are_counted(tmp_path: Path) -> None:
    long = Pair("very " * 300 + "long", "lang")
    keys = written(tmp_path, "train", [*numbered(0, 40), *[long] * 11])
    prepared = prepare(FilesConfig(**keys, max_length=200), VOCABULARY, tmp_path / "run")
    assert prepared.report["pairs_too_long"] == 11
    assert prepared.train.source_lengths.max() <= 201
    assert consistent(prepared)


def test_pairs_that_share_a_side_with_given_ones_are_left_out_and_counted(tmp_path: Path) -> None:
    train = [*numbered(0, 40), Pair("the NUMBER 40", "vierzig"), Pair("forty-one", "die Zahl: 41")]
    keys = {
        **written(tmp_path, "train", train),
        **written(tmp_path, "valid", [*numbered(40, 45), Pair("The number 50!", "fünfzig")]),
        **written(tmp_path, "test", [*numbered(41, 42), *numbered(50, 52)]),
    }
    prepared = prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run")
    assert decoded(prepared.tokenizer, prepared.train) == numbered(0, 40)
    assert prepared.valid_pairs == [*numbered(40, 41), *numbered(42, 45)]
    assert prepared.test_pairs == [*numbered(41, 42), *numbered(50, 52)], "test pairs are never left out"
    assert (prepared.report["pairs_leaking"], prepared.report["pairs_leaking_by_target"]) == (1 + 2, 1)
    assert prepared.report["repeats"] == "both"
    assert consistent(prepared)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_one_split_given_and_one_cut(tmp_path: Path, split: str) -> None:
    keys = {**written(tmp_path, "train", numbered(0, 100)), **written(tmp_path, split, numbered(95, 105))}
    prepared = prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run")
    given, cut = prepared.valid_pairs, prepared.test_pairs
    if split == "test":
        given, cut = cut, given
    assert given == numbered(95, 105)
    assert len(cut) == 9, "a tenth of the 95 pairs left"
    assert len(prepared.train) == 86
    assert not set(cut) & set(given)


def test_repeated_pairs_are_tested_once_and_counted(tmp_path: Path) -> None:
    keys = written(tmp_path, "train", [pair for pair in numbered(0, 60) for _ in range(3)])
    prepared = prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run")
    for pairs in (prepared.valid_pairs, prepared.test_pairs):
        assert len(pairs) == len(set(pairs)) == 6
    assert prepared.report["pairs_repeated"] == 24
    assert consistent(prepared)


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([], "not a single pair"),
        ([Pair("", "a"), Pair("b", " ")], "of its 2 pairs, 2 have an empty side, and 0 are blank"),
    ],
)
def test_an_empty_corpus(tmp_path: Path, pairs: list[Pair], why: str) -> None:
    with pytest.raises(DataError, match="the corpus is empty") as caught:
        prepare(FilesConfig(**written(tmp_path, "train", pairs)), VOCABULARY, tmp_path / "run")
    assert why in caught.value.why
    assert "recipe names" in caught.value.fix


def test_too_few_pairs_to_cut_off_a_tenth(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation pairs can be cut off the 9 training pairs") as caught:
        prepare(FilesConfig(**written(tmp_path, "train", numbered(0, 9))), VOCABULARY, tmp_path / "run")
    assert "whole groups" in caught.value.why
    assert "validation text of its own" in caught.value.fix


def test_nothing_left_to_train_on(tmp_path: Path) -> None:
    keys = {**written(tmp_path, "train", numbered(0, 9)), **written(tmp_path, "test", numbered(0, 9))}
    with pytest.raises(DataError, match="no pair is left to train on"):
        prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run")


def test_given_validation_pairs_that_are_all_test_pairs(tmp_path: Path) -> None:
    keys = written(tmp_path, "train", numbered(0, 90))
    keys |= {**written(tmp_path, "valid", numbered(95, 99)), **written(tmp_path, "test", numbered(95, 99))}
    with pytest.raises(DataError, match="no validation pair is left") as caught:
        prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run")
    assert "shares a side with a test pair" in caught.value.why


def test_everything_too_long(tmp_path: Path) -> None:
    keys = written(tmp_path, "train", numbered(0, 40))
    with pytest.raises(DataError, match="no training pair has at most 2 tokens") as caught:
        prepare(FilesConfig(**keys, max_length=2), VOCABULARY, tmp_path / "run")
    assert "raise data.max_length" in caught.value.fix


@pytest.mark.parametrize("later", [40, 60])
def test_a_corpus_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    sizes = iter([50, later])

    def train() -> Iterator[Pair]:
        return iter(numbered(0, next(sizes)))

    def changing(config: DataConfig, *, quiet: bool) -> Corpus:
        return Corpus(train=train, valid=None, test=None, about="")

    monkeypatch.setattr(prepare_pairs, "open_corpus", changing)
    with pytest.raises(DataError, match="the corpus changed while it was read"):
        prepare(DatesConfig(), VOCABULARY, tmp_path)


def test_a_failure_leaves_what_was_there(small_dates: DatesConfig, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("mine")
    before = prepare(small_dates, VOCABULARY, tmp_path).report
    source = tmp_path / "s"
    source.write_bytes(b"fine\n\xff\n")
    with pytest.raises(DataError, match="not UTF-8"):
        prepare(FilesConfig(source=str(source), target=str(source)), VOCABULARY, tmp_path)
    assert open_prepared(tmp_path).report == before
    assert (tmp_path / "recipe.toml").read_text() == "mine"
    assert not (tmp_path / ".preparing").exists()


def test_a_full_disk(small_dates: DatesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare(small_dates, VOCABULARY, tmp_path).report

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Examples, "write", full)
    with pytest.raises(DiskError, match="cannot write the prepared data") as caught:
        prepare(small_dates.model_copy(update={"seed": 2}), VOCABULARY, tmp_path)
    assert caught.value.why == "No space left on device"
    assert open_prepared(tmp_path).report == before


def test_a_killed_preparation_is_not_taken_for_a_whole_one(
    small_dates: DatesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before each of the moves that put the parts in their places, and after the last."""
    replace, whole = os.replace, prepare(small_dates, VOCABULARY, tmp_path / "whole").report
    for allowed in range(7):
        folder, left = tmp_path / str(allowed), iter(range(allowed))

        def killed(source: Path, target: Path, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt) if allowed < 6 else pytest.MonkeyPatch.context():
            prepare(small_dates, VOCABULARY, folder)
        monkeypatch.undo()
        if allowed < 5:
            with pytest.raises(RunError, match="not whole"):
                open_prepared(folder)
        assert allowed < 5 or open_prepared(folder).report == whole, "all but the older sums is let go"
        if allowed < 6:
            assert prepare(small_dates, VOCABULARY, folder).report == whole, "and it can be done again"


@pytest.mark.parametrize(
    "part",
    ["data.json", "tokenizer.model", "examples", "examples/train/pieces.bin", "examples/valid.jsonl",
     "examples/test.jsonl", "examples/valid"],
)  # fmt: skip
def test_missing_parts_are_errors(small_dates: DatesConfig, tmp_path: Path, part: str) -> None:
    prepare(small_dates, VOCABULARY, tmp_path)
    path = tmp_path / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RunError):
        open_prepared(tmp_path)


def test_damaged_texts_are_errors(small_dates: DatesConfig, tmp_path: Path) -> None:
    """Without sums, as earlier versions stored them, too."""
    prepare(small_dates, VOCABULARY, tmp_path)
    path = tmp_path / "examples" / "valid.jsonl"
    whole = path.read_text()
    path.write_text(whole.replace("1", "2", 1))
    with pytest.raises(RunError, match=r"valid\.jsonl is damaged"):
        open_prepared(tmp_path)
    (tmp_path / "sums.json").unlink()
    for damaged in ('{"source": "half', '{"source": "no target"}\n', "[]\n", "3\n"):
        path.write_text(damaged)
        with pytest.raises(RunError, match="not whole") as caught:
            open_prepared(tmp_path)
        assert "training anew" in caught.value.fix


def test_what_became_of_the_pairs_is_told_on_stderr(
    small_dates: DatesConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(small_dates, VOCABULARY, tmp_path / "quiet", quiet=True)
    assert capfd.readouterr() == ("", "")
    prepare(small_dates, VOCABULARY, tmp_path / "told")
    assert capfd.readouterr() == (
        "", "400 pairs read: 350 to train on, 20 for validation, 30 for test.\n"
    )  # fmt: skip


def test_labels_are_learned_and_sources_split_however_many_share_one(tmp_path: Path) -> None:
    pairs = [Pair(f"text number {n}", ("good", "bad")[n % 2]) for n in range(60)]
    config = FilesConfig.parse(
        {**written(tmp_path, "train", pairs), "task": "classification", "valid_size": 5, "test_size": 6},
        origin="a test",
    )
    prepared = prepare(config, VOCABULARY, tmp_path / "run")
    labels = prepared.io_spec.target
    assert isinstance(labels, Labels)
    assert labels.names == ("bad", "good")
    assert (len(prepared.train), len(prepared.valid_pairs), len(prepared.test_pairs)) == (49, 5, 6)
    for index, pair in enumerate(prepared.valid_pairs):
        assert prepared.valid[index][1].tolist() == [labels.number(pair.target)]
        assert prepared.valid[index][0].tolist() == [
            *prepared.tokenizer.encode(pair.source), prepared.tokenizer.eos
        ]  # fmt: skip


@pytest.mark.parametrize("task", ["summarization", "classification"])
def test_texts_that_are_seen_as_a_whole_are_cut_and_not_left_out(tmp_path: Path, task: str) -> None:
    texts = [f"number {n} " + "and on " * 50 for n in range(40)]
    labels = [("good", "bad")[n % 2] if task == "classification" else f"the number {n}" for n in range(40)]
    pairs = [Pair(*pair) for pair in zip(texts, labels, strict=True)]
    config = FilesConfig.parse(
        {
            **written(tmp_path, "train", pairs),
            "task": task,
            "max_length": 20,
            "valid_size": 2,
            "test_size": 2,
        },
        origin="a test",
    )
    prepared = prepare(config, VOCABULARY, tmp_path / "run")
    assert prepared.report["pairs_too_long"] == 0
    for examples in (prepared.train, prepared.valid):
        assert examples.source_lengths.tolist() == [21] * len(examples)
        assert all(examples[index][0][-1] == prepared.tokenizer.eos for index in range(len(examples)))


def commands(first: int, last: int) -> list[Pair]:
    """Sources that differ, and sixteen targets."""
    return [Pair(f"please do the thing number {n} now", f"COMMAND_{n % 16}") for n in range(first, last)]


@pytest.mark.parametrize("given", [[], ["test"], ["valid"], ["valid", "test"]])
def test_targets_that_repeat_by_their_nature_lose_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], given: list[str]
) -> None:
    keys = written(tmp_path, "train", commands(0, 800))
    for number, split in enumerate(given):
        keys |= written(tmp_path, split, commands(800 + 50 * number, 850 + 50 * number))
    prepared = prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run")
    cut = 80 * (2 - len(given))
    assert len(prepared.train) == 800 - cut
    assert len(prepared.valid_pairs) == (50 if "valid" in given else 80)
    assert len(prepared.test_pairs) == (50 if "test" in given else 80)
    assert not {pair.source for pair in prepared.test_pairs} & {pair.source for pair in prepared.valid_pairs}
    assert sum(left_out(prepared.report).values()) == 0
    assert prepared.report["repeats"] == "sources"
    (note,) = prepared.report["notes"]
    assert 'data.repeats = "sources"' in note
    assert note in capfd.readouterr().err


def test_the_recipe_decides_what_is_kept_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train = [*commands(0, 20), Pair("please do the THING number 801 now", "COMMAND_1"), *numbered(0, 60)]
    keys = {**written(tmp_path, "train", train), **written(tmp_path, "test", commands(800, 816))}
    keys |= written(tmp_path, "valid", numbered(80, 90))
    counts = {}
    for repeats in ("sources", "both", "auto"):
        config = FilesConfig.parse({**keys, "repeats": repeats}, origin="test")
        prepared = prepare(config, VOCABULARY, tmp_path / repeats)
        counts[repeats] = len(prepared.train), left_out(prepared.report)
        assert consistent(prepared)
        said = capfd.readouterr().err
        assert ("warning: 24.7 % (20) of the pairs share only a target" in said) == (repeats == "both")
        assert ('data.repeats = "sources" keeps them' in said) == (repeats == "both")
        assert len(prepared.report["warnings"]) == (repeats == "both")
    nothing = dict.fromkeys(counts["both"][1], 0)
    assert counts["sources"] == counts["auto"] == (80, {**nothing, "leaking": 1})
    assert counts["both"] == (60, {**nothing, "leaking": 1, "leaking_by_target": 20})


def test_texts_that_are_translated_are_kept_apart_by_both_sides(tmp_path: Path) -> None:
    pairs = [*numbered(0, 100), *(Pair(f"another word for {n}", f"die Zahl {n}") for n in range(30))]
    prepared = prepare(FilesConfig(**written(tmp_path, "train", pairs)), VOCABULARY, tmp_path / "run")
    assert prepared.report["repeats"] == "both"
    assert prepared.report["notes"] == []
    targets = [{pair.target for pair in pairs} for pairs in (prepared.valid_pairs, prepared.test_pairs)]
    trained = {pair.target for pair in decoded(prepared.tokenizer, prepared.train)}
    assert not trained & (targets[0] | targets[1])


def test_where_the_groups_of_targets_are_too_large_sources_decide(tmp_path: Path) -> None:
    """Few pairs share a target, but all that could be cut off do."""
    pairs = [Pair(f"the word {n}", f"das Wort {n // 12}") for n in range(60)]
    both = FilesConfig(**written(tmp_path, "train", pairs), repeats="both")
    with pytest.raises(DataError, match="no validation pairs can be cut off") as caught:
        prepare(both, VOCABULARY, tmp_path / "run")
    assert caught.value.fix.startswith('data.repeats = "sources"')
    prepared = prepare(both.model_copy(update={"repeats": "auto"}), VOCABULARY, tmp_path / "run")
    assert (prepared.report["repeats"], len(prepared.valid_pairs)) == ("sources", 6)


def test_advice_where_nothing_is_left_names_the_key(tmp_path: Path) -> None:
    keys = {**written(tmp_path, "train", commands(0, 100)), **written(tmp_path, "test", commands(100, 120))}
    with pytest.raises(DataError, match="no pair is left to train on") as caught:
        prepare(FilesConfig(**keys, repeats="both"), VOCABULARY, tmp_path / "run")
    assert caught.value.fix.startswith('data.repeats = "sources"')


def test_many_left_out_are_a_warning_that_names_the_key(tmp_path: Path) -> None:
    pairs = [*numbered(0, 40), *[Pair("very " * 40 + str(n), f"sehr {n}") for n in range(5)]]
    pairs += [Pair("", f"nichts {n}") for n in range(5)] + [Pair("", "")] * 5
    keys = written(tmp_path, "train", pairs)
    prepared = prepare(FilesConfig(**keys, max_length=30), VOCABULARY, tmp_path / "run")
    said = "\n".join(prepared.report["warnings"])
    for key in ("data.max_length", "data.source", "blank lines"):
        assert key in said
    assert len(prepared.report["warnings"]) == 3


def test_how_texts_are_spelt_is_counted(tmp_path: Path) -> None:
    pairs = [Pair(f"the  number {n}", f"die\u00a0Zahl {n} ") for n in range(40)]
    pairs += numbered(50, 60)
    keys = written(tmp_path, "train", pairs)
    prepared = prepare(FilesConfig(**keys), VOCABULARY, tmp_path / "run")
    assert prepared.report["normalization"] == "nfc"
    assert prepared.report["sources_respelt"] == prepared.report["targets_respelt"] > 25
    assert "vocabulary.normalization" in prepared.report["warnings"][0]
    assert {" ".join(text.split()) for pair in prepared.test_pairs for text in pair} != {
        text for pair in prepared.test_pairs for text in pair
    }, "what is tested is kept as it was given"
    config = VOCABULARY.model_copy(update={"normalization": "none"})
    other = prepare(FilesConfig(**keys), config, tmp_path / "none")
    assert (other.report["normalization"], other.report["targets_respelt"]) == ("none", 0)
    assert decoded(other.tokenizer, other.train)[0].target.startswith("die\u00a0Zahl")


def test_labels_that_are_spelt_otherwise_are_one(tmp_path: Path) -> None:
    pairs = [Pair(f"text number {n}", ("schön", "scho\u0308n", "nein")[n % 3]) for n in range(60)]
    config = FilesConfig(**written(tmp_path, "train", pairs), task="classification")
    prepared = prepare(config, VOCABULARY, tmp_path / "run")
    labels = prepared.io_spec.target
    assert isinstance(labels, Labels)
    assert labels.names == ("nein", "schön")
    assert labels.number("scho\u0308n") == labels.number(" schön") == 1


def test_texts_in_quotation_marks_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("".join(f'"the number, {n}"\t"die Zahl, {n}"\n' for n in range(40)), encoding="utf-8")
    values = {"kind": "tsv", "path": path, "columns": [1, 2]}
    prepared = prepare(TableConfig.parse(values, origin="test"), VOCABULARY, tmp_path / "run")
    assert 'data.quoting = "csv"' in prepared.report["notes"][0]
    quoted = TableConfig.parse({**values, "quoting": "csv"}, origin="test")
    prepared = prepare(quoted, VOCABULARY, tmp_path / "quoted")
    assert prepared.report["notes"] == []
    assert prepared.test_pairs[0].source.startswith("the number")


def test_the_same_text_on_both_sides_is_told(tmp_path: Path) -> None:
    pairs = [Pair(f"number {n}", f"Number {n}.") for n in range(40)]
    told = prepare(FilesConfig(**written(tmp_path, "train", pairs)), VOCABULARY, tmp_path / "a", quiet=True)
    assert any(note.startswith("100 % of the pairs have the same text") for note in told.report["notes"])
    others = FilesConfig(**written(tmp_path, "train", numbered(0, 40)))
    assert prepare(others, VOCABULARY, tmp_path / "b", quiet=True).report["notes"] == []


STRINGS = DigitStringsConfig(images=120, valid_size=10, test_size=12)
CHARACTERS = VocabularyConfig(kind="characters", size=300)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    folder = tmp_path_factory.mktemp("digits")
    return folder, prepare(DigitsConfig(), CHARACTERS, folder)


def test_labels_are_stored_by_number_and_pixels_as_they_are(digits: tuple[Path, Prepared]) -> None:
    _, prepared = digits
    corpus = open_digits(DigitsConfig())
    labels = prepared.io_spec.target
    assert isinstance(labels, Labels)
    assert labels.names == tuple("0123456789")
    assert isinstance(prepared.train, ImageExamples)
    assert np.array_equal(prepared.train.pixels, corpus.train.pixels)
    stored = [labels.names[prepared.train.targets[index][1][0]] for index in range(len(prepared.train))]
    assert tuple(stored) == corpus.train.targets
    assert [pair.target for pair in prepared.test_pairs] == list(corpus.test.targets)
    assert np.array_equal(prepared.test_pairs[7].source, corpus.test.pixels[7])
    assert prepared.report["train_pairs"] == 1439
    assert prepared.train.target_lengths.tolist() == [1] * 1439


def test_images_that_are_opened_again_are_the_same(digits: tuple[Path, Prepared]) -> None:
    folder, prepared = digits
    again = open_prepared(folder)
    assert again.report == prepared.report == json.loads((folder / "data.json").read_text())
    assert [pair.target for pair in again.valid_pairs] == [pair.target for pair in prepared.valid_pairs]
    assert not (folder / "tokenizer.model").exists(), "no end of it is text"


def test_texts_of_images_are_spelt_with_an_end(tmp_path: Path) -> None:
    prepared = prepare(STRINGS, CHARACTERS, tmp_path)
    tokenizer = prepared.tokenizer
    assert isinstance(prepared.train, ImageExamples)
    assert len(prepared.train) == 120
    for index, pair in enumerate(prepared.valid_pairs):
        assert isinstance(prepared.valid, ImageExamples)
        assert prepared.valid.targets[index][1].tolist() == [*tokenizer.encode(pair.target), tokenizer.eos]
        assert 3 <= len(pair.target) <= 8


def test_missing_images_are_told(tmp_path: Path) -> None:
    prepare(STRINGS, CHARACTERS, tmp_path)
    (tmp_path / "examples" / "test" / "pixels.npy").unlink()
    with pytest.raises(RunError, match="damaged"):
        open_prepared(tmp_path)
