from pathlib import Path

import pytest
from hypothesis import settings

from atonce.data.config import DatesConfig, VocabularyConfig
from atonce.data.dates import generate
from atonce.data.tokenizer import Tokenizer

# The same examples in every run, and no deadline: a busy machine is no fault.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def dates_tokenizer() -> Tokenizer:
    """Learned from a thousand dates in many scripts."""
    lines = [text for pair in generate(1000, seed=3) for text in pair]
    return Tokenizer.train(lines, VocabularyConfig(size=600))


@pytest.fixture
def small_dates() -> DatesConfig:
    return DatesConfig(pairs=400, valid_size=20, test_size=30)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of downloads, and no $ATONCE_DATA."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda project: folder / project)
    monkeypatch.delenv("ATONCE_DATA", raising=False)
    return folder / "atonce"
