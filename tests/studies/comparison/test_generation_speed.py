import itertools

import pytest

from atonce.decoding.translator import Translator
from atonce.runs.folder import RunFolder
from atonce.studies.comparison import generation_speed as module
from atonce.studies.comparison.generation_speed import PASSES, generation_speed


def test_speeds_are_sentences_by_seconds(dates_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is a second after the last: each timing takes one."""
    ticks = itertools.count()
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(ticks)))
    done: list[int] = []
    monkeypatch.setattr(module, "ALONE", 4)
    texts = ["3 May 2001"] * 9
    speed = generation_speed(Translator.load(dates_run.path), texts, on_progress=done.append)
    assert speed.together == len(texts)
    assert speed.alone == 3  # every third: at most ALONE, evenly spread
    assert sum(done) == (1 + PASSES) * 9 + 3


def test_one_text_is_enough(dates_run: RunFolder) -> None:
    speed = generation_speed(Translator.load(dates_run.path), ["3 May 2001"])
    assert speed.together > 0
    assert speed.alone > 0
