"""Many hostile clients at once, and a real server: how much memory it takes, and that others are answered."""

import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from atonce.decoding.opening import load_translator
from atonce.serve.limits import Limits
from campaign.soak import MOST_MB, ask, largest, served

CLIENTS = 64


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read there")
@pytest.mark.skipif(sys.platform != "linux", reason="likewise")
def test_64_hostile_clients_take_no_more_than_is_promised(runs: dict[str, Path]) -> None:
    bodies = list(largest(load_translator(runs["texts"]), Limits()).values())

    async def use() -> tuple[float, Counter[int], list[float]]:
        async with served(runs["texts"], "--timeout", "10") as server:
            for path, body in (("/v1/translate", {"texts": ["1 May 2000"]}), ("/v1/heatmap", {"text": "a"})):
                assert (await ask(server.address, path, body))[0] == 200
            idle = server.megabytes()
            hostile = asyncio.gather(
                *(ask(server.address, *bodies[number % len(bodies)]) for number in range(CLIENTS))
            )
            waited = []
            while not hostile.done():
                began = time.monotonic()
                status, _ = await ask(server.address, "/v1/translate", {"texts": ["1 May 2000"]})
                assert status == 200
                waited.append(time.monotonic() - began)
            return server.peak() - idle, Counter(status for status, _ in await hostile), waited

    more, statuses, waited = asyncio.run(use())
    assert set(statuses) <= {200, 422, 504}
    assert statuses[504] < CLIENTS
    assert waited  # and every one of them was answered, while the others were worked on
    assert more <= MOST_MB
