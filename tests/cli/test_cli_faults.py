"""What a user may get wrong: each is three lines and exit code 2, and nothing that was there is lost."""

import errno
import io
import json
import os
import resource
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tiny
from atonce.cli import main
from atonce.errors import AtonceError
from atonce.runs.folder import RunFolder
from atonce.serve.server import listen
from command import Command

LINES = "".join(f"Sentence number {n}.\n" for n in range(60))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder with a recipe that trains on two files."""
    (tmp_path / "text.en").write_text(LINES)
    (tmp_path / "text.de").write_text(LINES.replace("Sentence number", "Satz Nummer"))
    sides = {"source": str(tmp_path / "text.en"), "target": str(tmp_path / "text.de")}
    values = {**tiny.values(), "data": {"kind": "files", **sides}}
    import tomli_w

    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(values))
    return tmp_path


@pytest.fixture
def run(dates_run: RunFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dates_run.path, tmp_path / "run"))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within the block, the system takes no file larger than this: as if the disk was full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def train(atonce: Command, folder: Path, *options: str) -> tuple[str, str, str]:
    """The fault of a training, which leaves everything as it was."""
    before = tiny.everything_in(folder)
    fault = atonce("train", folder / "recipe.toml", "--out", folder / "run", *options).fault
    assert tiny.everything_in(folder) == before
    return fault


def test_files_that_are_right_can_be_trained_on(atonce: Command, texts: Path) -> None:
    assert atonce("train", texts / "recipe.toml", "--out", texts / "run").code == 0


def test_unequal_line_counts(atonce: Command, texts: Path) -> None:
    (texts / "text.de").write_text(LINES + "Und noch einer.\n")
    what, why, fix = train(atonce, texts)
    assert what == f"{texts / 'text.en'} has 60 lines and {texts / 'text.de'} has 61"
    assert "line 1 belongs to line 1" in why
    assert "equally long" in fix


def test_invalid_utf_8_names_file_line_and_byte(atonce: Command, texts: Path) -> None:
    (texts / "text.de").write_bytes(b"eins\nzw\xf6lf\n" + b"x\n" * 58)
    what, why, fix = train(atonce, texts)
    assert what == f"{texts / 'text.de'} is not UTF-8: line 2, byte 7 (counted from 0)"
    assert "0xf6" in why
    assert "iconv" in fix


def test_a_missing_file(atonce: Command, texts: Path) -> None:
    (texts / "text.de").unlink()
    what, why, _ = train(atonce, texts)
    assert what == f"there is no file {texts / 'text.de'}"
    assert why == "it was named as text to read"


@pytest.mark.parametrize("content", ["", "\n" * 60])
def test_an_empty_corpus(atonce: Command, texts: Path, content: str) -> None:
    for side in ("en", "de"):
        (texts / f"text.{side}").write_text(content)
    assert train(atonce, texts)[0] == "the corpus is empty"


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("training.stepps=3", "'steps'"),
        ("training.schedule=linaer", "'linear'"),
        ("vocabulary.kind=unigrams", "'unigram'"),
        ("model.encoder.kind=grus", "'gru'"),
    ],
)
def test_unknown_keys_and_values(atonce: Command, texts: Path, option: str, nearest: str) -> None:
    assert nearest in train(atonce, texts, "--set", option)[2]


def test_a_disk_that_is_full_while_data_are_prepared(atonce: Command, texts: Path) -> None:
    with files_of_at_most(500):
        what, why, _ = train(atonce, texts)
    assert "cannot write" in what
    assert why.startswith("File too large")


def test_a_disk_that_is_full_while_training(atonce: Command, tmp_path: Path, prepared_dates: Path) -> None:
    """The checkpoint has no room: what was there stays, and training goes on when there is room again."""
    recipe = tiny.write_recipe(tmp_path / "recipe.toml")
    for name in ("run", "whole"):
        tiny.begun(tmp_path / name, tiny.recipe(), prepared_dates)
    command = ("train", recipe, "--resume", "--json", "--out")
    before = set(tiny.everything_in(tmp_path / "run"))
    with files_of_at_most(30_000):
        what, why, fix = atonce(*command, tmp_path / "run").fault
    assert what.startswith("cannot write")
    assert "too large" in why
    room, _, advice = fix.partition(", then go on: atonce ")
    assert room == "make room"
    left = tiny.everything_in(tmp_path / "run")
    assert before <= set(left) <= before | {"log.jsonl", "model.safetensors"}
    assert atonce(*shlex.split(advice), "--json").code == 0
    assert atonce(*command, tmp_path / "whole").code == 0
    assert tiny.what_was_learned(tmp_path / "run") == tiny.what_was_learned(tmp_path / "whole")


def test_a_full_disk_for_a_heat_map(atonce: Command, dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text("before")
    with files_of_at_most(5_000):
        fault = atonce("heatmap", dates_run.path, "3 May 2001", "--out", tmp_path / "map.html").fault
    assert fault[0] == f"cannot write {tmp_path / 'map.html'}"
    assert tiny.everything_in(tmp_path) == {"map.html": b"before"}


DAMAGES = {
    "no recipe": lambda run: (run / "recipe.toml").unlink(),
    "broken recipe": lambda run: (run / "recipe.toml").write_text("[data"),
    "newer format": lambda run: (run / "recipe.toml").write_text("format = 99\n"),
    "unknown key": lambda run: (run / "recipe.toml").write_text("format = 1\nnews = 2\n"),
    "no tokenizer": lambda run: (run / "tokenizer.model").unlink(),
    "broken weights": lambda run: (run / "model.safetensors").write_bytes(b"half"),
    "no weights": lambda run: (run / "model.safetensors").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["translate", "evaluate", "heatmap"])
def test_a_damaged_run(atonce: Command, run: Path, damage: str, command: str) -> None:
    DAMAGES[damage](run)
    before = tiny.everything_in(run)
    more = ["text", "--out", run / "map.svg"] if command == "heatmap" else []
    assert str(run) in " ".join(atonce(command, run, *more).fault)
    assert tiny.everything_in(run) == before


def test_resuming_a_damaged_run(atonce: Command, run: Path, tmp_path: Path) -> None:
    (state,) = run.glob("checkpoints/*/state.safetensors")
    state.write_bytes(state.read_bytes()[:1000])
    before = tiny.everything_in(run)
    recipe = tiny.write_recipe(tmp_path / "recipe.toml")
    what, _, fix = atonce("train", recipe, "--out", run, "--resume").fault
    assert str(run) in what
    assert "damaged" in what
    assert "train again" in fix
    assert tiny.everything_in(run) == before


def test_texts_to_score_that_do_not_fit_together(
    atonce: Command, dates_run: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "s").write_text("a\nb\n")
    (tmp_path / "r").write_text("a\n")
    options = ["--source", tmp_path / "s", "--reference", tmp_path / "r"]
    assert "has 2 lines" in atonce("evaluate", dates_run.path, *options).fault[0]
    (tmp_path / "s").write_text("")
    (tmp_path / "r").write_text("")
    assert atonce("evaluate", dates_run.path, *options).fault[0] == "there is nothing to score"


def test_a_missing_and_a_broken_text_to_translate(
    atonce: Command, dates_run: RunFolder, tmp_path: Path
) -> None:
    assert (
        atonce("translate", dates_run.path, tmp_path / "no").fault[0] == f"there is no file {tmp_path / 'no'}"
    )
    what = atonce("translate", dates_run.path, stdin=b"fine\n\xff\n").fault[0]
    assert what == "standard input is not UTF-8: line 2, byte 5 (counted from 0)"


def test_a_layer_or_a_head_that_is_not_there(atonce: Command, dates_run: RunFolder, tmp_path: Path) -> None:
    for option in ("--layer", "--head"):
        arguments = ["heatmap", dates_run.path, "3 May", "--out", tmp_path / "map.svg", option, "7"]
        assert atonce(*arguments).fault[0].startswith(f"there is no {'attention ' * (option == '--layer')}")
    assert not list(tmp_path.iterdir())


def commands(run: Path, odd: str, folder: Path) -> list[list[str]]:
    """Every command that takes a path, with an odd one in one place."""
    known, out = str(run), str(folder / "out")
    return [
        ["train", "dates", "--out", odd],
        ["train", "dates", "--out", odd, "--resume"],
        ["train", f"{odd}.toml", "--out", out],
        ["compare", "dates", "--models", "mingru", "--out", odd],
        ["demo", "--recipe", "dates", "--out", odd],
        ["translate", odd],
        ["translate", known, odd],
        ["summarize", odd],
        ["classify", odd, odd],
        ["read", odd, odd],
        ["evaluate", odd],
        ["evaluate", known, "--source", odd, "--reference", odd],
        ["evaluate", known, "--against", odd],
        ["heatmap", odd, "3 May", "--out", f"{out}.json"],
        ["heatmap", known, "3 May", "--out", f"{odd}.json"],
        ["context", odd, "--word", "May"],
        ["context", known, "--word", "May", "--corpus", odd],
        ["measure", odd],
        ["measure", "lstm", "--lengths", "8,16", "--out", f"{odd}.json"],
        ["export", odd, out, "--to", "ctranslate2"],
        ["export", known, odd, "--to", "ctranslate2"],
        ["distill", odd, out],
        ["distill", known, odd],
        ["distill", known, out, "--more", odd],
        ["serve", odd],
        ["serve", known, "--token-file", odd],
    ]


@pytest.mark.parametrize("number", range(len(commands(Path(), "", Path()))))
def test_a_path_that_cannot_be(atonce: Command, dates_run: RunFolder, tmp_path: Path, number: int) -> None:
    """A name that is too long, a link to itself, a file where a folder should be."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("before")
    for odd in ("n" * 300, "loop/inner", "file/inner"):
        command = commands(dates_run.path, f"{tmp_path}/{odd}", tmp_path)[number]
        assert atonce(*command).fault, command
        assert tiny.everything_in(tmp_path) == {"file": b"before"}, command


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that nobody may look into, not even root, who may be running the tests."""
    folder = tmp_path / "closed"
    folder.mkdir()

    def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **options: Any) -> Any:
            if given and isinstance(given[0], str | Path) and f"{given[0]}/".startswith(f"{folder}/"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(given[0]))
            return function(*given, **options)

        return wrapped

    for module, name in [
        (io, "open"),
        *((os, name) for name in ("open", "stat", "mkdir", "scandir", "listdir")),
    ]:
        monkeypatch.setattr(module, name, refusing(getattr(module, name)))
    return folder


@pytest.mark.parametrize("number", range(len(commands(Path(), "", Path()))))
def test_a_place_that_is_not_for_this_user(
    atonce: Command, dates_run: RunFolder, tmp_path: Path, closed: Path, number: int
) -> None:
    command = commands(dates_run.path, str(closed / "inner"), tmp_path)[number]
    _, why, _ = atonce(*command).fault
    assert "Permission denied" in why, command


def test_a_recipe_that_names_what_cannot_be_read(atonce: Command, texts: Path) -> None:
    for odd in ("a\\u0000b", "n" * 300, "~no-such-user/text"):
        what, why, _ = train(atonce, texts, "--set", f'data.source="{odd}"')
        assert what.startswith("cannot read ")
        assert why


@pytest.mark.parametrize(
    "kept_back", ["model.safetensors", "tokenizer.model", "examples", "examples/test.jsonl"]
)
def test_a_file_of_a_run_that_another_user_keeps_back_is_not_called_damaged(
    atonce: Command, dates_run: RunFolder, monkeypatch: pytest.MonkeyPatch, kept_back: str
) -> None:
    path = dates_run.path / kept_back
    monkeypatch.setattr(os, "access", lambda one, _: Path(one) != path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    what, why, fix = atonce("evaluate", dates_run.path).fault
    assert what == f"cannot read {path}"
    assert "another user's" in why
    assert fix == f"let them give it: chmod -R a+rX {dates_run.path}"
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid)
    what, why, fix = atonce("evaluate", dates_run.path).fault
    assert what == f"cannot read {path}"
    assert why == "it is yours, and its rights do not let you read it"
    assert fix == f"give yourself the right: chmod -R u+rX {dates_run.path}"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["trian"], "there is no command 'trian'"),
        (["recipes", "--jsom"], "there is no option --jsom"),
        (["recipes", "more"], "the command line cannot be parsed"),
        (["train", "dates"], "--out is missing"),
        (["train", "dates", "--out"], "the command line cannot be parsed"),
        (["train", "dates", "--out", ""], "--out is empty"),
        (["train", "dates", "--out="], "--out is empty"),
        (["train", "dates", "--out", "x", "--minutes", "nan"], "invalid value for --minutes"),
        (["train", "dates", "--out", "x", "--minutes", "inf"], "--minutes cannot be inf"),
        (["train", "dates", "--out", "x", "--minutes", "-1"], "invalid value for --minutes"),
        (["train", "dates", "--out", "x", "--threads", "100000"], "--threads cannot be 100000"),
        (["translate", ""], "RUN is empty"),
        (["translate", "run", "--sample", "1", "--seed="], "--seed is empty"),
        (["translate", "x", "--beam", "0"], "invalid value for --beam"),
        (["translate", "x", "--beam", "9" * 5000], "invalid value for --beam"),
        (["translate", "x", "--sample", "nan"], "invalid value for --sample"),
        (["translate", "a\0b"], "invalid value for RUN"),
        (["heatmap", "x", "\udcff", "--out", "map.svg"], "TEXT is not UTF-8"),
        (["heatmap", "x", "text", "--out", "map.svg", "--wrods"], "there is no option --wrods"),
        (["heatmap", "x", "--wrods", "--out", "map.svg"], "there is no option --wrods"),
        (["serve", "x", "--port", "99999"], "invalid value for --port"),
        (["serve", "x", "--wait", "nan"], "invalid value for --wait"),
        (["serve", "x", "--timeout", "-1"], "invalid value for --timeout"),
        (["serve", "x", "--batch-tokens", f"{10**30}"], "invalid value for --batch-tokens"),
        (["evaluate", "x", "--source", "y"], "--source and --reference go together"),
        (["measure", "lstm", "--lengths", "-5,3"], "invalid --lengths '-5,3'"),
        (["measure", "lstm", "--lengths", "4,1000000000"], "invalid --lengths '4,1000000000'"),
    ],
)  # fmt: skip
def test_a_command_line_that_cannot_be(atonce: Command, arguments: list[str], what: str) -> None:
    assert atonce(*arguments).fault[0] == what


@pytest.mark.parametrize("text", ["-5 degrees", "-5", "-", "-hello", "--greetings"])
def test_a_text_that_begins_with_a_dash(
    atonce: Command, dates_run: RunFolder, tmp_path: Path, text: str
) -> None:
    said = atonce("heatmap", dates_run.path, text, "--out", tmp_path / "map.json")
    assert said.code == 0
    assert json.loads((tmp_path / "map.json").read_text())["source"] == text


def test_what_is_said_of_odd_input_is_three_lines_and_does_nothing_to_a_terminal(atonce: Command) -> None:
    fault = atonce("translate", "\x1b[31m\n\u202e" + "x" * 5000).fault
    assert r"\x1b[31m\n\u202exxx" in fault[0]
    assert fault[0].endswith("x…")
    assert main._line("\x1b[31m\n\u202e" + "x" * 5000) == (r"\x1b[31m \u202e" + "x" * 5000)[:2000] + "…"


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_memory_that_is_not_there(atonce: Command, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def load(name: str) -> None:
        raise fault

    monkeypatch.setattr("atonce.runs.recipe.load", load)
    assert atonce("recipes").fault[0] == "there is not enough memory"


def test_ctrl_c_is_130_wherever_it_comes(atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atonce.runs.recipe.load", load)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process is to be interrupted as before
    said = atonce("recipes")
    assert (said.code, said.out, said.err) == (130, "", "")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 100, "999.1.1.1", "a b"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(AtonceError, match="cannot serve at"):
        listen(host, 0)
