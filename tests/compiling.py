"""Kernels in tests: only where numba is installed and the CPU multiplies eight bits; a skip says so."""

import pytest

from atonce import fast

WHY_NOT = "needs numba and a CPU with VNNI or AMX"

needs_kernels = pytest.mark.skipif(not fast.can_compile(), reason=WHY_NOT)


def kernels_or_skip() -> None:
    """At the head of a test module, before anything that imports numba."""
    if not fast.can_compile():
        pytest.skip(WHY_NOT, allow_module_level=True)
