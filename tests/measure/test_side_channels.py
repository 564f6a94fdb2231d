"""Numbers that leave torch and come back, threads, processes, and programs that have themselves recorded."""

import copy
import ctypes
import io
import os
import pickle
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right

from atonce.errors import AtonceError
from atonce.measure import work_span

N, DIM = 5, 4
ONLY_BEFORE = torch.ones(N, N, dtype=torch.bool).triu()


def vectors() -> Tensor:
    return torch.randn(1, N, DIM, generator=torch.Generator().manual_seed(0))


# Round trips.


def _saved(x: Tensor) -> Tensor:
    file = io.BytesIO()
    torch.save(x.sin(), file)
    file.seek(0)
    return torch.load(file) * 2


def _packed(x: Tensor) -> Tensor:
    numbers = struct.pack(f"{N * DIM}f", *x.flatten().tolist())
    return torch.tensor(struct.unpack(f"{N * DIM}f", numbers)).view(1, N, DIM)


def _through_memory(x: Tensor) -> Tensor:
    numbers = (ctypes.c_float * (N * DIM)).from_address(x.data_ptr())
    return torch.tensor(list(numbers)).view(1, N, DIM)


def _written_by_numpy(x: Tensor) -> Tensor:
    found = torch.zeros(1, N, DIM)
    found.numpy()[:] = x.numpy()[:, ::-1]
    return found * 2


def _masked_by_numpy(x: Tensor) -> Tensor:
    """A mask that is made of the numbers is no constant."""
    return torch.ones(1, N, DIM).masked_fill(torch.from_numpy(x.sin().numpy().cumsum(1) > 0), 0.0) * 2


LEAVE: dict[str, Callable[[Tensor], Tensor]] = {
    "torch.save": _saved,
    "pickle": lambda x: pickle.loads(pickle.dumps(x.sin())) * 2,
    "struct": _packed,
    "storage": lambda x: torch.tensor(list(x.storage().untyped())).float()[: N * DIM].view(1, N, DIM),
    "bytes": lambda x: (
        torch.frombuffer(bytearray(x.numpy().tobytes()), dtype=torch.float32).view(1, N, DIM) + 0
    ),
    "memory": _through_memory,
    "text": lambda x: torch.tensor([float(one) for one in str(x.flatten())[8:-2].split(",")]),
    "dlpack": lambda x: torch.from_dlpack(torch.utils.dlpack.to_dlpack(x.sin())) * 2,
    "written by NumPy": _written_by_numpy,
    "masked by NumPy": _masked_by_numpy,
    "by a function of Python's": lambda x: x.clone().map_(x.flip(1), lambda one, other: one + other),
}


@pytest.mark.parametrize("name", LEAVE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_leaves_torch_and_comes_back_is_read(name: str) -> None:
    found = work_span(LEAVE[name], vectors(), follow=False)
    assert found.reads > 0
    assert found.connected == 1


def test_a_mask_that_was_there_before_anything_was_read_is_still_one() -> None:
    mask = torch.ones(N, N, dtype=torch.bool).tril()

    def program(x: Tensor) -> Tensor:
        scale = 1 if x[0, 0, 0].item() > 9 else 2  # the first position goes into everything
        return (x @ x.mT * scale).masked_fill(~mask, -torch.inf).softmax(-1) @ x

    found = work_span(program, vectors(), follow=False)
    assert found.paths is not None
    assert found.paths.isfinite()[1:].equal(ONLY_BEFORE[1:])


def test_reading_is_no_work() -> None:
    found = work_span(lambda x: (x.tolist(), x * 2)[1], vectors())
    assert (found.operations, found.work, found.reads) == (1, N * DIM, 1)


def test_a_copy_is_not_read() -> None:
    found = work_span(lambda x: copy.deepcopy(x).cumsum(1), vectors())
    assert found.reads == 0
    assert found.paths is not None
    assert found.paths.isfinite().equal(ONLY_BEFORE)


# Threads and processes.

BEFORE = ThreadPoolExecutor(1)
BEFORE.submit(int).result()


def _thread(x: Tensor) -> Tensor:
    found = []
    thread = threading.Thread(target=lambda: found.append(x.cumsum(1)))
    thread.start()
    thread.join()
    return found[0] * 2


def _pool(x: Tensor) -> Tensor:
    with ThreadPool(2) as pool:
        return torch.cat(pool.map(lambda y: y.cumsum(1), x.split(2, 2)), 2) * 2


@pytest.mark.parametrize(
    "function",
    [_thread, _pool, lambda x: BEFORE.submit(torch.cumsum, x, 1).result() * 2],
    ids=["thread", "pool", "pool that was there before"],
)
def test_what_is_computed_in_other_threads_is_measured(function: Callable[[Tensor], Tensor]) -> None:
    found = work_span(function, vectors())
    assert found.paths is not None
    assert found.paths.isfinite().equal(ONLY_BEFORE)
    assert (found.span, found.reads, dict(found.wide)) == (2, 0, {})
    assert BEFORE.submit(torch.ones(2).sum).result() == 2  # nobody watches any more


def _forked(x: Tensor) -> Tensor:
    if not os.fork():
        os._exit(0)
    return x


@pytest.mark.parametrize(
    "function",
    [
        _forked,
        lambda x: next(iter(torch.utils.data.DataLoader(x[0], batch_size=N, num_workers=1))),
        lambda x: torch.jit.trace(nn.LSTM(DIM, DIM), x)(x)[0],
        lambda x: torch.export.export(nn.Linear(DIM, DIM), (x,)).module()(x),
    ],
    ids=["fork", "workers", "trace", "export"],
)
def test_what_cannot_be_seen_is_an_error_of_three_lines(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(AtonceError, match=r"^the program (.|\n)*while it is measured(.|\n)*why:(.|\n)*fix: "):
        work_span(function, vectors())


def test_an_error_of_the_program_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        work_span(lambda x: x / (1 // 0), vectors())
    with pytest.raises(RuntimeError, match="size"):
        work_span(lambda x: x + torch.ones(DIM + 1), vectors())


def test_a_bias_with_a_class_of_its_own() -> None:
    def causal(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x[None], x[None], x[None], attn_mask=causal_lower_right(N, N))[
            0
        ]

    found = work_span(causal, vectors())
    assert found.paths is not None
    assert found.paths.isfinite().equal(ONLY_BEFORE)
