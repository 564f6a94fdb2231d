import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from atonce.decoding.load import load_translator
from atonce.decoding.translator import Translator
from atonce.models.threads import computing_on
from atonce.runs.folder import RunFolder
from atonce.serve.batching import Batcher, Item
from atonce.serve.limits import Limits
from atonce.serve.served import Served
from atonce.serve.wishes import AloneWish, TextWish, grant
from compiling import needs_kernels


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Whatever the machine has, and a user has said."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_what_comes_between_has_all_threads_and_the_other_its_own_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a large model would have one while a small one searches, and other last bits of its scores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr("atonce.models.threads._told", [])
    with computing_on(1):
        assert grant(AloneWish(torch.get_num_threads), [None], threads=2) == [2]
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


class Steps:
    """Counts the steps of a compiled translator's search."""

    def __init__(self, translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
        assert translator.model.engine is not None
        self.count = 0
        self.begun = threading.Event()
        self._advance = translator.model.engine.decoder.advance
        monkeypatch.setattr(translator.model.engine.decoder, "advance", self._counted)

    def _counted(self, *state: object) -> object:
        self.count += 1
        self.begun.set()
        time.sleep(0.0005)
        return self._advance(*state)  # type: ignore[arg-type]


@needs_kernels
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("texts", [["7 May 2001 " * 20], [f"{day} May 2000 " * 6 for day in range(1, 13)]])
def test_small_texts_come_between_the_batches_of_a_compiled_model(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    """Also while they are searched side by side; and what nobody waits for ends."""
    translator = load_translator(runs["texts"], device="cpu", fast=True)
    translator.config = translator.config.model_copy(update={"batch_tokens": 100, "max_length_ratio": 1.0})
    served = Served("dates", RunFolder.open(runs["texts"]), translator)
    wish = TextWish(served, beam=1, nbest=1, alignment=False, attention=False, limits=Limits())
    expected = [one.text for one in translator.translate([*texts, "1 May"], beam=1)]
    steps = Steps(translator, monkeypatch)

    async def within() -> None:
        granted = partial(grant, threads=torch.get_num_threads())
        async with Batcher(granted, batch_size=10_000, wait=0.0, capacity=100) as batcher:

            async def begun() -> asyncio.Task[list[object]]:
                steps.begun.clear()
                asked = batcher.ask(wish, [Item(text, 1) for text in texts], urgency=2)
                task = asyncio.create_task(asked)
                assert await asyncio.to_thread(steps.begun.wait, 10)
                return task

            long = await begun()
            small = await batcher.ask(replace(wish, nbest=2, beam=1), [Item("1 May", 1)])
            assert not long.done()
            assert [one.text for one in [*await long, *small]] == expected

            all_steps = steps.count
            left = await begun()
            left.cancel()
            await asyncio.wait([left])
            assert await batcher.ask(AloneWish(torch.get_num_threads), [Item(None, 1)]) == [2]
            await asyncio.sleep(0.05)
            at_rest = steps.count
            await asyncio.sleep(0.1)
            assert steps.count == at_rest < all_steps * 1.5

    asyncio.run(within())
