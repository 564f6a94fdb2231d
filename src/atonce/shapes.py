"""Shapes in signatures: `Float[Tensor, "batch source_len dim"]`.

One vocabulary everywhere: batch, source_len, target_len, query_len, key_len, heads, dim, vocab.
`Shaped` is of any type of number.
jaxtyping checks them under test; without it they are documentation, and users pay nothing.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Complex", "Float", "Int", "Shaped", "UInt", "UInt8"]

if TYPE_CHECKING:
    from jaxtyping import Bool, Complex, Float, Int, Shaped, UInt, UInt8
else:
    try:
        from jaxtyping import Bool, Complex, Float, Int, Shaped, UInt, UInt8
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, array_and_shape: tuple[Any, str]) -> Any:
                return array_and_shape[0]

        Bool = Complex = Float = Int = Shaped = UInt = UInt8 = _Unchecked
