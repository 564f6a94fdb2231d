import json
from pathlib import Path
from shutil import copytree

import pytest
import torch

from atonce.decoding.translator import Translator
from atonce.runs.folder import RunFolder
from atonce.seeds import torch_seed
from command import Command

TEXTS = [
    "3 May 2001",
    "",
    "Donnerstag, 3. Mai 2001",
    "2001年5月3日",
    "   ",
    "word " * 3000 + "end",
    "x\u2028y\x85z",
]


@pytest.fixture
def run(dates_run: RunFolder) -> Path:
    return dates_run.path


def test_one_line_in_is_one_line_out(atonce: Command, run: Path) -> None:
    said = atonce("translate", run, stdin="\n".join(TEXTS).encode() + b"\n")
    assert (said.code, said.err) == (0, "")
    lines = said.out.removesuffix("\n").split("\n")
    assert lines == [one.text for one in Translator.load(run).translate(TEXTS)]
    assert lines[1] == lines[4] == ""


@pytest.mark.parametrize(
    "content",
    [
        b"3 May 2001\r\n\r\n4 May 2001\r\n",
        b"3 May 2001\n\n4 May 2001",
        b"\xef\xbb\xbf3 May 2001\n\n4 May 2001\n",
    ],
)
def test_line_ends_do_not_matter(atonce: Command, run: Path, content: bytes, tmp_path: Path) -> None:
    plain = atonce("translate", run, stdin=b"3 May 2001\n\n4 May 2001\n")
    assert plain.out.count("\n") == 3
    assert atonce("translate", run, stdin=content) == plain
    (tmp_path / "text").write_bytes(content)
    assert atonce("translate", run, tmp_path / "text") == plain, "a file gives the same as stdin"


def test_no_line_in_is_no_line_out(atonce: Command, run: Path) -> None:
    assert atonce("translate", run).out == ""


def test_json(atonce: Command, run: Path) -> None:
    said = atonce("translate", run, "--json", "--nbest", "3", stdin="3 May 2001\n\né\n".encode())
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [answer["source"] for answer in answers] == ["3 May 2001", "", "é"]
    for answer in answers:
        assert set(answer) == {"source", "text", "score", "nbest"}
        best = answer["nbest"]
        assert best[0] == {"text": answer["text"], "score": answer["score"]}
        assert [one["score"] for one in best] == sorted((one["score"] for one in best), reverse=True)
        assert len({one["text"] for one in best}) == len(best) <= 3
    assert answers[1]["text"] == ""
    assert "é" in said.out, "readable, not escaped"


def test_nbest(atonce: Command, run: Path) -> None:
    said = atonce("translate", run, "--nbest", "3", stdin=b"3 May 2001\n\n4 May\n")
    rows = [line.split("\t", 2) for line in said.out.removesuffix("\n").split("\n")]
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)
    assert {int(row[0]) for row in rows} == {1, 2, 3}
    best = Translator.load(run).translate(["3 May 2001"], nbest=3)[0].alternatives
    assert [(row[1], row[2]) for row in rows if row[0] == "1"] == [(f"{b.score:.4f}", b.text) for b in best]


def test_the_beam_can_be_chosen(atonce: Command, run: Path) -> None:
    translator = Translator.load(run)
    for beam in (1, 3):
        said = atonce("translate", run, "--beam", str(beam), stdin=b"3 May 2001\n")
        assert said.out == translator.translate(["3 May 2001"], beam=beam)[0].text + "\n"


def test_samples_differ_by_seed_and_not_otherwise(atonce: Command, run: Path) -> None:
    def sampled(seed: int) -> str:
        return atonce("translate", run, "--sample", "1", "--seed", str(seed), stdin=b"3 May 2001\n" * 3).out

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    assert len(set(sampled(1).splitlines())) > 1


def test_as_many_are_drawn_as_are_wanted(atonce: Command, run: Path) -> None:
    said = atonce("translate", run, "--sample", "1", "--nbest", "5", stdin=b"3 May 2001\n\n4 May\n")
    numbers = [int(line.split("\t")[0]) for line in said.out.splitlines()]
    assert numbers == [number for number in (1, 2, 3) for _ in range(5)]
    drawn = atonce("translate", run, "--sample", "1", "--nbest", "5", "--json", stdin=b"3 May 2001\n").out
    assert len(json.loads(drawn)["nbest"]) == 5


def test_a_beam_beside_a_sample_is_refused(atonce: Command, run: Path) -> None:
    what, _, fix = atonce("translate", run, "--beam", "4", "--sample", "0.5", stdin=b"a\n").fault
    assert what == "--beam 4 and --sample 0.5 do not go together"
    assert "--nbest" in fix
    assert atonce("translate", run, "--beam", "2", "--sample", "0", stdin=b"a\n").code == 0


@pytest.mark.parametrize("seed", ["0", "9223372036854775808", "18446744073709551615"])
def test_any_whole_number_of_64_bits_is_a_seed(atonce: Command, run: Path, seed: str) -> None:
    said = atonce("translate", run, "--sample", "1", "--seed", seed, stdin=b"3 May 2001\n")
    translator = Translator.load(run)
    torch.manual_seed(torch_seed(int(seed)))
    assert said.out == translator.translate(["3 May 2001"], temperature=1.0)[0].text + "\n"


@pytest.mark.parametrize("seed", ["-1", "18446744073709551616", "1.5", "abc", " ", "1e3", "²"])
def test_what_is_no_seed_is_refused(atonce: Command, run: Path, seed: str) -> None:
    what, why, _ = atonce("translate", run, "--sample", "1", f"--seed={seed}").fault
    assert what.startswith("seed cannot be")
    assert "from 0 to 18446744073709551615" in why


@pytest.mark.parametrize(
    "wrong", [["--beam", "0"], ["--nbest", "0"], ["--sample", "inf"], ["--sample", "nan"], ["--sample", "-1"]]
)
def test_options_out_of_range(atonce: Command, run: Path, wrong: list[str]) -> None:
    said = atonce("translate", run, *wrong)
    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err


def test_more_lines_than_are_searched_at_once(
    atonce: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the last digit of a score: sums of a batch of another size are rounded otherwise."""
    text = "".join(f"{day} May\n" for day in range(1, 8)).encode()

    def numbered_and_scored() -> tuple[list[list[str]], list[float]]:
        rows = [
            line.split("\t") for line in atonce("translate", run, "--nbest", "2", stdin=text).out.splitlines()
        ]
        return [[number, output] for number, _, output in rows], [float(score) for _, score, _ in rows]

    whole, scores = numbered_and_scored()
    monkeypatch.setattr("atonce.cli.predict.LINES_AT_ONCE", 3)
    parts, scores_of_parts = numbered_and_scored()
    assert parts == whole
    assert scores_of_parts == pytest.approx(scores, abs=2e-4)


def test_fast_is_a_line_out_for_a_line_in_too(atonce: Command, run: Path, tmp_path: Path) -> None:
    copied, texts = copytree(run, tmp_path / "run"), [text[:2000] for text in TEXTS]
    said = atonce("translate", copied, "--fast", "--beam", "3", stdin="\n".join(texts).encode() + b"\n")
    assert (said.code, said.err) == (0, "")
    fast = Translator.load(copied, fast=True)
    assert said.out.removesuffix("\n").split("\n") == [one.text for one in fast.translate(texts, beam=3)]
