"""What wheels have in common; test_digits, test_localisation and others have the files."""

from pathlib import Path

import pytest

from atonce.data.corpora.wheels import downloaded
from atonce.errors import DataError


def test_pip_takes_no_module_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("open('marker', 'w')")
    monkeypatch.chdir(tmp_path)
    told = {"what": "a wheel", "otherwise": "or not", "again": "again"}
    with (
        pytest.raises(DataError, match="the download of a wheel failed"),
        downloaded("none==1", "none.whl", "0", options=["--no-index"], beside=tmp_path / "beside", **told),
    ):
        pass
    assert not (tmp_path / "marker").exists()
