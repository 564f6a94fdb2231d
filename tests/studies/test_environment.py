import re
import subprocess
import sys
from typing import Any

import pytest

from atonce.studies.environment import machine, peak_memory


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


def test_peak_memory_is_that_of_the_process_itself() -> None:
    """Not that of the one that started it, which `getrusage` would count in on Linux."""
    code = "from atonce.studies.environment import peak_memory; print(peak_memory())"
    here = bytearray(300_000_000)  # this process is large, and the other does nothing
    here[::4096] = b"x" * len(here[::4096])
    small = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(small.stdout) < 150_000_000 < 300_000_000 < (peak_memory() or 0)


WITHOUT_TORCH = """
import sys, types
torch = types.ModuleType("torch")
torch.cuda = types.SimpleNamespace(is_available=lambda: False)
sys.modules["torch"] = torch
"""
