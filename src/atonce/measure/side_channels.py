"""Running a program while it is traced: fused kernels off, and what it does beside torch's operations.

A dispatch mode sees neither numbers that leave torch, nor other threads and processes, nor a program that has
itself compiled. So these are patched, followed or refused, while the program runs.
"""

import multiprocessing.pool
import multiprocessing.process
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch.distributions import Distribution
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import CausalBias
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from atonce.errors import AtonceError
from atonce.measure.call import tensors_in
from atonce.measure.rules.decompositions import run_by_body
from atonce.measure.tracer import OpTracer
from atonce.shapes import Int

_SHOWS = {
    Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.__repr__, Tensor.__format__,
    Tensor.data_ptr, Tensor.untyped_storage, Tensor.storage, Tensor.apply_, Tensor.map_, Tensor.map2_,
}  # fmt: skip
"""What shows the numbers of a tensor to Python, or to another library, without an operation. What writes
tensors to files sees them through their storage."""

_MADE_OF_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}
"""What reads the numbers of tensors in a list, and makes a tensor of them."""


class Readings(TorchFunctionMode):
    """Sees what Python reads without an operation: lists, arrays and files made of tensors."""

    # `tolist` and `numpy` never reach the dispatcher, where the tracer is: only the Python function is seen.

    def __init__(self, tracer: OpTracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take note, and go on."""
        if isinstance(func, HigherOrderOperator):
            with self:
                return run_by_body(func, args, dict(kwargs or {}))
        if func in _SHOWS:
            with _disable_current_modes():
                self.tracer.show(*(one for one in args if isinstance(one, Tensor)))
        elif func in _MADE_OF_NUMBERS:
            with _disable_current_modes():
                self.tracer.read(*(one for one in tensors_in(args) if one is not args[0]))
        elif func in (torch.tensor_split, Tensor.tensor_split):  # looks, but where is read from a tensor
            return self.tracer.read_before(func, args, kwargs or {})
        elif func is F.one_hot:
            return _one_hot(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _one_hot(tensor: Int[Tensor, "*shape"], num_classes: int = -1) -> Int[Tensor, "*shape classes"]:
    """F.one_hot as torch's compiler has it: without reading only to check that the numbers are valid."""
    # A read makes all that follows wait: the program would seem more sequential than it is.
    if num_classes < 0:  # how many classes there are is in the numbers: it is read in any case
        return F.one_hot(tensor)
    return (tensor.unsqueeze(-1) == torch.arange(num_classes)).long()


@contextmanager
def tracing(tracer: OpTracer) -> Iterator[None]:
    """Within the block, `tracer` sees all operations, and no fused kernel hides any from it."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        # A fused kernel is one operation to the dispatcher: a whole recurrent layer, or attention, would
        # count as one step in which everything waits for everything. So it is to run as its parts.
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        torch.backends.mha.set_fastpath_enabled(False)
        backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
        for backend in backends:
            stack.callback(_enable, backend, backend.enabled)
            _enable(backend, False)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        # Whether arguments are valid a program reads only to raise an error.
        stack.callback(Distribution.set_default_validate_args, Distribution._validate_args)
        Distribution.set_default_validate_args(False)
        if "torch._dynamo" in sys.modules:  # what is compiled runs as it is written
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_side_channels_seen(tracer))
        try:
            yield
        except NotImplementedError as error:
            raise AtonceError(
                "the program calls what torch cannot run on this machine without compiling it",
                why=str(error).strip().splitlines()[0],
                fix="measure the same computation written with other operations, or without gradients",
            ) from error


def _enable(backend: Any, enabled: bool) -> None:
    """Also where the program has frozen torch's flags (`torch.backends.disable_global_flags`)."""
    with torch.backends.__allow_nonbracketed_mutation():
        backend.enabled = enabled


@contextmanager
def _side_channels_seen(tracer: OpTracer) -> Iterator[None]:
    """Within the block, `tracer` sees the threads that begin there, and what is read.

    Raises AtonceError for what happens where it sees nothing: in other processes, and while torch records.
    """
    # Refused and not ignored: a count without what another process computed would be wrong in silence.
    with ExitStack() as stack:
        stack.enter_context(tracer)
        stack.enter_context(Readings(tracer))
        _follow_threads(stack, tracer)
        _refuse_processes(stack)
        to_dlpack: Callable[[Tensor], Any] = vars(torch.utils.dlpack)["to_dlpack"]

        def shown(tensor: Tensor) -> Any:
            with _disable_current_modes():
                tracer.show(tensor)
            return to_dlpack(tensor)

        # A function of C, which calls no `__torch_function__`.
        _patch(stack, torch.utils.dlpack, "to_dlpack", shown)
        _patch(stack, CausalBias, "__new__", _unseen)
        try:
            yield
        except (AtonceError, NotImplementedError):
            raise
        except Exception as error:
            if found := _recorder(error.__traceback__):
                raise AtonceError(
                    f"the program has torch record or compile it ({found}) while it is measured",
                    why=(str(error).strip().splitlines() or [type(error).__name__])[0],
                    fix="measure what is recorded as it is written, or record it before and measure that",
                ) from error
            raise
        finally:
            tracer.over = True  # a thread that the program began may go on: it counts no more


def _unseen(cls: type, *_: Any, **__: Any) -> Any:
    """A tensor of a class of its own, which torch cannot make of a traced one."""
    with _disable_current_modes():
        return Tensor.__new__(cls)


def _patch(stack: ExitStack, owner: Any, name: str, new: Any) -> None:
    # From `vars`, not getattr: it is put back as it was, a static method, or inherited and not there at all.
    if name in vars(owner):
        stack.callback(setattr, owner, name, vars(owner)[name])
    else:
        stack.callback(delattr, owner, name)
    setattr(owner, name, new)


def _follow_threads(stack: ExitStack, tracer: OpTracer) -> None:
    """Trace the threads that traced threads begin."""
    traced = {threading.get_ident()}

    def carried(run: Callable[..., Any]) -> Callable[..., Any]:
        def traced_run(*args: Any, **kwargs: Any) -> Any:
            here = threading.get_ident()
            if tracer.over or here in traced:
                return run(*args, **kwargs)
            traced.add(here)
            try:
                with tracer, Readings(tracer):
                    return run(*args, **kwargs)
            finally:
                traced.discard(here)

        return traced_run

    # Modes of torch belong to a thread: what a new one computes would go unseen.
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def started(thread: threading.Thread) -> None:
        if threading.get_ident() in traced:
            thread.run = carried(thread.run)  # type: ignore[method-assign]
        start(thread)

    def submitted(
        pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        if threading.get_ident() in traced:
            function = carried(function)
        return submit(pool, function, *args, **kwargs)

    _patch(stack, threading.Thread, "start", started)
    _patch(stack, ThreadPoolExecutor, "submit", submitted)

    # The one method that all ways of giving work to a pool call. Threads that were there before belong to
    # nobody that is traced: what they compute would go unseen.
    checked = multiprocessing.pool.Pool._check_running  # type: ignore[attr-defined]

    def used(pool: Any) -> None:
        if threading.get_ident() in traced and pool._task_handler.ident not in traced:
            raise _elsewhere("hands work to a pool that was there before")
        checked(pool)

    _patch(stack, multiprocessing.pool.Pool, "_check_running", used)


def _refuse_processes(stack: ExitStack) -> None:
    here = threading.get_ident()  # other threads of the process, a server's, may start what they like

    def refusing(begin: Callable[..., Any]) -> Callable[..., Any]:
        def begun(*args: Any) -> Any:
            if threading.get_ident() == here:
                raise _elsewhere("starts another process")
            return begin(*args)

        return begun

    process = multiprocessing.process.BaseProcess
    _patch(stack, process, "start", refusing(process.start))
    if hasattr(os, "fork"):
        _patch(stack, os, "fork", refusing(os.fork))


def _elsewhere(what: str) -> AtonceError:
    return AtonceError(
        f"the program {what} while it is measured",
        why="what is computed there cannot be seen, so neither its work nor what waits for it",
        fix="measure it in one process (num_workers=0), or only what is computed in this one",
    )


_RECORDERS = (
    "torch.jit", "torch.export", "torch.fx.experimental", "torch._subclasses", "torch._inductor",
    "torch._functorch._aot_autograd", "torch.onnx",
)  # fmt: skip


def _recorder(trace: TracebackType | None) -> str | None:
    """Which part of torch that records programs an error went through."""
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        for one in _RECORDERS:
            if name == one or name.startswith(one + "."):
                return one
        trace = trace.tb_next
    return None
