from pathlib import Path

import pytest

from command import Command

pytest.importorskip("fastapi")


@pytest.mark.parametrize("content", ["", "two words", "täken"])
def test_a_token_is_one_word(atonce: Command, runs: dict[str, Path], tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content, encoding="utf-8")
    said = atonce("serve", runs["texts"], "--token-file", tmp_path / "token")
    assert said.code == 2
    assert "no token" in said.err
    assert "token_urlsafe" in said.err


def test_a_run_that_is_none_is_told(atonce: Command, tmp_path: Path) -> None:
    said = atonce("serve", tmp_path / "nowhere")
    assert said.code == 2
    assert "not a run folder" in said.err


def test_a_run_twice_is_told(atonce: Command, runs: dict[str, Path]) -> None:
    said = atonce("serve", runs["texts"], runs["texts"])
    assert said.code == 2
    assert "given twice" in said.err
