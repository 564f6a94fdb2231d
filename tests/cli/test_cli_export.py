from pathlib import Path

import pytest

from atonce.runs.folder import RunFolder
from command import Command


def test_ctranslate2(atonce: Command, dates_run: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    said = atonce("export", dates_run.path, tmp_path / "out", "--to", "ctranslate2")
    assert (said.code, said.out) == (0, f"{tmp_path / 'out'}\n")
    assert {"model.bin", "tokenizer.model"} <= {path.name for path in (tmp_path / "out").iterdir()}
    fault = atonce("export", dates_run.path, tmp_path / "out", "--to", "ctranslate2").fault
    assert fault[0].endswith("is there already")
