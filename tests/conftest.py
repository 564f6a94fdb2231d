import os
import sys

# Containers often say that nothing that is compiled is kept. Then each of the many processes that tests start
# would compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Tests run side by side, and their models are tiny: one thread each is fastest. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# And before atonce is imported.
import shape_checks

shape_checks.install()

from pathlib import Path

import pytest
from hypothesis import settings

import tiny
from atonce.data.config import DatesConfig, VocabularyConfig
from atonce.data.corpora.dates import generate
from atonce.data.prepare import prepare
from atonce.data.tokenizer import Tokenizer
from atonce.runs.folder import RunFolder

# The same examples in every run, and no deadline: a busy machine is no fault.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


# A file is run by one worker: its fixtures are made once. The longest come first, so that all end together.
LONGEST = (
    "test_models.py", "test_distributed.py", "test_operators.py", "test_cli_translate.py", "test_resume.py",
    "test_page.py", "test_docs.py", "test_translator.py", "test_ctranslate2.py", "test_overfitting.py",
    "test_jit.py", "test_killed.py", "test_memory.py", "test_site.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def dates_tokenizer() -> Tokenizer:
    """Learned from a thousand dates in many scripts."""
    lines = [text for pair in generate(1000, seed=3) for text in pair]
    return Tokenizer.train(lines, VocabularyConfig(size=600))


@pytest.fixture(scope="session")
def prepared_dates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of `tiny.recipe()`, for `tiny.begun`."""
    recipe = tiny.recipe()
    folder = tmp_path_factory.mktemp("prepared")
    prepare(recipe.data, recipe.vocabulary, folder)
    return folder


@pytest.fixture(scope="session")
def dates_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A Transformer after a dozen steps, and its scores. Who changes the folder changes a copy of it."""
    # Imported here: tests that need no torch shall not wait for it.
    from atonce.studies.experiment import train

    return train(tiny.recipe(), tmp_path_factory.mktemp("runs") / "dates", quiet=True).run


@pytest.fixture(scope="session")
def runs(dates_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run for each kind of pipeline, hardly trained: of texts, of images to labels, of images to texts."""
    from atonce.studies.experiment import train

    folder = tmp_path_factory.mktemp("kinds")
    few = {"steps": 4, "validate_every": 4}
    classifier = {**tiny.GRU, "image": {"kind": "rows"}, "decoder": {"kind": "classifier"}}
    reader = {**tiny.GRU, "image": {"kind": "convolution", "channels": [4]}}
    characters = {"kind": "characters", "size": 300}
    strings = {"kind": "digit-strings", "images": 100, "valid_size": 8, "test_size": 8}
    recipes = {
        "labels": tiny.recipe(data={"kind": "digits"}, model=classifier, training=few),
        "images": tiny.recipe(data=strings, vocabulary=characters, model=reader, training=few),
    }
    made = {name: train(recipe, folder / name, quiet=True).run.path for name, recipe in recipes.items()}
    return {"texts": dates_run.path, **made}


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
