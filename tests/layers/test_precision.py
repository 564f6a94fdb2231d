import os
import subprocess
import sys

import pytest
import torch

from atonce.layers.precision import Precision, has_bfloat16_hardware, products

CPU = torch.device("cpu")


def setting() -> str:
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    return str(matmul.fp32_precision)


def test_bfloat16_products_hold_within_the_block_only() -> None:
    before = setting()
    with products("bfloat16", CPU):
        assert setting() == "bf16"
    assert setting() == before != "bf16"


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_the_setting_comes_back_after_an_error(precision: Precision) -> None:
    before = setting()
    with pytest.raises(KeyboardInterrupt), products(precision, CPU):
        raise KeyboardInterrupt
    assert setting() == before


def test_float32_leaves_everything_as_it_is() -> None:
    before = setting()
    with products("float32", CPU):
        assert setting() == before


@pytest.mark.parametrize("instructions", ["amx_bf16", "avx512_bf16"])
def test_auto_goes_by_the_hardware(monkeypatch: pytest.MonkeyPatch, instructions: str) -> None:
    for hardware in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda hardware=hardware: {instructions: hardware})
        assert has_bfloat16_hardware(CPU) is hardware
        with products("auto", CPU):
            assert (setting() == "bf16") is hardware


def test_sums_stay_in_float32() -> None:
    """With rounded factors a product is off by less than 1 %, and what comes out is float32."""
    torch.manual_seed(0)
    left, right = torch.rand(64, 256), torch.rand(256, 64)
    with products("bfloat16", CPU):
        product = left @ right
    assert product.dtype == torch.float32
    torch.testing.assert_close(product, left @ right, rtol=1e-2, atol=0)


@pytest.mark.parametrize(("given", "kept"), [({}, "128"), ({"LRU_CACHE_CAPACITY": "7"}, "7")])
def test_few_programs_of_products_are_kept_unless_the_user_says_otherwise(
    given: dict[str, str], kept: str
) -> None:
    """Or a training on ever other shapes takes gigabytes."""
    code = "import os, atonce.layers.precision; print(os.environ['LRU_CACHE_CAPACITY'])"
    caches = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    environment = {name: value for name, value in os.environ.items() if name not in caches} | given
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert said.stdout.decode().strip() == kept
