"""The checks of `jaxtyping.jaxtyped` and of its shapes, at a quarter of their price.

jaxtyping checks the arguments of a call twice, before it and again with what is returned, binds them by name
for a message that is hardly ever needed, and copies all sizes that it knows for each tensor: half of the time
of all tests. Here one function that beartype makes checks the arguments, calls, and checks what is returned,
in one scope of axis names. Whatever is no plain tensor with a name for each axis, or does not fit, is left to
jaxtyping.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from functools import partial, wraps
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping._storage import get_shape_memo, pop_shape_memo, push_shape_memo

_library = jaxtyping.jaxtyped
# As by jaxtyping, what is wrong is a TypeError: some files of users are read by trying what they hold.
_beartype = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
_library_fits = type(jaxtyping.AbstractArray).__instancecheck__
_axes: dict[tuple[Any, type, Any], tuple[str, ...]] = {}
"""The names of the axes, by shape and by the types and dtypes that jaxtyping has found to be right for it."""

_made: dict[CodeType, tuple[dict[str, Any], Any]] = {}


def install() -> None:
    """Before the package is imported: jaxtyping's import hook decorates by this name."""
    jaxtyping.jaxtyped = jaxtyped
    type(jaxtyping.AbstractArray).__instancecheck__ = _fits


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    return partial(_decorated, typechecker=typechecker)


def _decorated(decorated: Any, *, typechecker: Callable[..., Any]) -> Any:
    if inspect.isclass(decorated):
        made = vars(decorated).get("__init__")
        if dataclasses.is_dataclass(decorated) and inspect.isfunction(made):
            decorated.__init__ = checked(made)
        return decorated
    if type(decorated) is not FunctionType or inspect.isgeneratorfunction(decorated):
        return _library(decorated, typechecker=typechecker)
    return checked(decorated)


def checked(function: Any) -> Any:
    hints = {name: _resolved(hint, function) for name, hint in inspect.get_annotations(function).items()}
    by_beartype = _by_beartype(function, hints)
    if by_beartype is None:
        return function  # there is nothing to check

    def scoped(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        push_shape_memo({})
        try:
            return by_beartype(*args, **kwargs)
        finally:
            pop_shape_memo()

    # As if beartype had made it: what is measured is not called from here (atonce.measure.chain).
    scoped.__code__ = scoped.__code__.replace(co_filename=f"<@beartype({function.__qualname__})>")
    return wraps(function)(scoped if any(map(_has_shape, hints.values())) else by_beartype)


def _by_beartype(function: Any, hints: dict[str, Any]) -> Any:
    """None if there is nothing to check.

    A function within another is made at each call of that; what checks it is made once, and calls the newest.
    """
    before, made = _made.get(function.__code__, (None, None))
    if before != hints:
        made = _beartype(_annotated(function, hints))
        made = made if hasattr(made, "__wrapped__") else None
        _made[function.__code__] = (hints, made)
    elif made is not None:
        known = {**made.__kwdefaults__, "__beartype_func": function}
        made = FunctionType(made.__code__, made.__globals__, made.__name__, made.__defaults__)
        made.__kwdefaults__ = known
    return made


def _resolved(hint: Any, function: Any) -> Any:
    """Of a hint with quotes what it names, if that is there at all when the program runs."""
    if not isinstance(hint, str) and not typing.get_args(hint):
        return hint
    try:
        named = FunctionType((lambda: None).__code__, function.__globals__)
        named.__annotations__ = {"hint": hint}
        return typing.get_type_hints(named, include_extras=True)["hint"]
    except Exception:
        return Any


def _annotated(function: Any, hints: dict[str, Any]) -> Any:
    """A copy, if need be: the function's own annotations are read by others, such as typer."""
    if hints == inspect.get_annotations(function):
        return function
    copied = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__qualname__, copied.__module__ = function.__qualname__, function.__module__
    copied.__annotations__ = hints
    return copied


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, list | tuple):  # of a Callable's arguments
        return any(map(_has_shape, hint))
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return _has_shape(typing.get_args(hint))


def _fits(shape: Any, value: Any) -> bool:
    """`isinstance(value, shape)`, which gives sizes to the names that have none yet."""
    kind = (shape, type(value), getattr(value, "dtype", None))
    names = _axes.get(kind)
    if names is not None and len(names) == len(value.shape):
        sizes = get_shape_memo()[0]
        for name, size in zip(names, value.shape, strict=True):
            if sizes.get(name, size) != size:
                break
        else:
            sizes.update(zip(names, value.shape, strict=True))
            return True
    fits = _library_fits(shape, value)
    if fits and names is None and shape is not jaxtyping.AbstractArray:
        named = tuple(shape.dim_str.split())
        plain = all(name.isidentifier() and name[0] != "_" for name in named)
        if plain and len(set(named)) == len(named):
            _axes[kind] = named
    return fits
