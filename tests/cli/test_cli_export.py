from pathlib import Path
from typing import Any

import pytest

import tiny
from atonce.runs.folder import RunFolder
from command import Command


def test_ctranslate2(atonce: Command, dates_run: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    said = atonce("export", dates_run.path, tmp_path / "out", "--to", "ctranslate2")
    assert (said.code, said.out) == (0, f"{tmp_path / 'out'}\n")
    assert said.err.endswith(f"what differs from atonce: {tmp_path / 'out' / 'README.md'}\n")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"README.md", "config.json", "model.bin", "shared_vocabulary.json", "tokenizer.model"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    fault = atonce("export", dates_run.path, tmp_path / "out", "--to", "ctranslate2").fault
    assert fault[0].endswith("is there already")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"encoder": {"kind": "transformer", "window": 3}}, "model.encoder.window is 3;"),
        ({"encoder": {"kind": "gru"}}, "model.encoder.kind is gru;"),
        ({"decoder": {"kind": "ssru"}}, "model.decoder.kind is ssru;"),
    ],
)
def test_what_cannot_be_exported_is_named(
    changed: dict[str, Any], why: str, atonce: Command, tmp_path: Path
) -> None:
    pytest.importorskip("ctranslate2")
    run = RunFolder.create(tmp_path / "run", tiny.recipe(model={**tiny.TRANSFORMER, **changed}))
    fault = atonce("export", run.path, tmp_path / "out", "--to", "ctranslate2").fault
    assert fault[1].startswith(why)
    assert not (tmp_path / "out").exists()
