import re
from typing import Any

import pytest

from atonce.studies.machine import machine


def test_the_machine_in_words() -> None:
    assert re.search(r"^\d+ cores, .*torch \d", machine())


@pytest.mark.parametrize(
    ("able", "words"),
    [
        (
            {"cpu_name": "Intel Xeon", "amx_int8": True, "avx512_vnni": True},
            "Intel Xeon (amx_int8, avx512_vnni)",
        ),
        ({"cpu_name": "AMD EPYC", "amx_int8": False, "avx512_vnni": True}, "AMD EPYC (avx512_vnni)"),
        ({"cpu_name": "Neoverse"}, "Neoverse"),
    ],
)
def test_what_decides_its_speed(able: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: able)
    assert re.search(rf"cores, {re.escape(words)}, (?:.+, )?torch", machine())
