"""Kernels in tests: only where numba is installed and the CPU multiplies eight bits; a skip says so."""

import pytest

from atonce.layers import kernels

WHY_NOT = "needs numba and a CPU with VNNI or AMX"

needs_kernels = pytest.mark.skipif(not kernels.can_be_used(), reason=WHY_NOT)


def kernels_or_skip() -> None:
    """At the head of a test module, before anything that imports numba."""
    if not kernels.can_be_used():
        pytest.skip(WHY_NOT, allow_module_level=True)
