"""Real processes, as `torchrun` starts them, on one machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

import tiny
from atonce.data.batches import Batch
from atonce.runs.folder import RunFolder
from atonce.training.distributed import SINGLE_PROCESS, Ranks
from atonce.training.train import train
from zoo import EOS, PAD, SOURCES, padded

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
}
WITHOUT_DROPOUT = {
    "dim": 16,
    "encoder": {**tiny.TRANSFORMER["encoder"], "dropout": 0.0},
    "decoder": {**tiny.TRANSFORMER["decoder"], "dropout": 0.0},
}
PRECISE = {"precision": "float32"}

GRADIENTS = """
import torch
from atonce.training.distributed import together
from atonce.training.loss import batch_loss
from training.test_distributed import ARCHITECTURES, batch_of, gradients
from zoo import SOURCES, config_of, model_of

torch.set_default_dtype(torch.float64)
with together(torch.device("cpu")) as ranks:
    assert ranks.count == 2
    for parts in ARCHITECTURES:
        for sources in (SOURCES, SOURCES[:1]):  # of one row, the second process has none
            model = model_of(config_of(*parts))
            batch = batch_of(sources)
            loss = sum(batch_loss(model, batch, 0.1).smoothed / batch.target_tokens for batch in [batch])
            loss.backward()
            whole = gradients(model)
            model.zero_grad()
            ours = 0.0
            for share in ranks.shares([batch]):
                part = batch_loss(model, share, 0.1).smoothed / batch.target_tokens
                part.backward()
                ours += part.item()
            summed = ranks.sum_gradients(model, ours)
            torch.testing.assert_close(summed, loss.item())
            torch.testing.assert_close(gradients(model), whole)
            for gradient in gradients(model):
                assert ranks.broadcast(gradient.sum().item()) == gradient.sum().item()
    with torch.no_grad():
        next(model.parameters()).add_(ranks.rank)
    ranks.take_weights_of_first(model)
    assert ranks.broadcast(next(model.parameters()).sum().item()) == next(model.parameters()).sum().item()
    ranks.seed_per_rank(1, 7)
    drawn = torch.rand(()).item()
    assert (ranks.broadcast(drawn) == drawn) is ranks.is_first
"""
ARCHITECTURES = [("pre", "pre"), ("bigru", "gru_additive"), ("bilstm", "lstm_none"), ("convolution", "ssru")]

DIES = """
import os, signal
from atonce.cli.main import main
from atonce.training.distributed import Ranks

seed_per_rank = Ranks.seed_per_rank

def dying(self, seed, step):
    if (self.rank, step, os.environ["TORCHELASTIC_RESTART_COUNT"]) == (1, 9, "0"):
        os.kill(os.getpid(), signal.SIGKILL)
    seed_per_rank(self, seed, step)

Ranks.seed_per_rank = dying
main()
"""


def batch_of(sources: tuple[list[int], ...]) -> Batch:
    """Each source as its own target."""
    tokens, mask = padded(sources)
    before = torch.cat([torch.full_like(tokens[:, :1], EOS), tokens[:, :-1]], dim=1)
    return Batch(tokens, mask, before.masked_fill(~mask, PAD), tokens, mask)


def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    return [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in model.parameters()]


def in_two_processes(*command: str, restarts: int = 0) -> "subprocess.CompletedProcess[str]":
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *launcher, "--max-restarts", str(restarts), *command],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def assert_learned_the_same(*runs: Path) -> None:
    """But for biases of keys, which the softmax cancels: their gradients are nothing but rounding."""
    weights = [load_file(run / "model.safetensors") for run in runs]
    for one in weights:
        for name in [name for name in one if name.endswith("key.bias")]:
            del one[name]
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


def training(recipe: Path, run: Path) -> list[str]:
    return ["train", str(recipe), "--out", str(run), "--json"]


@pytest.fixture(scope="module")
def with_dropout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe, and the run of two processes that nothing disturbed."""
    folder = tmp_path_factory.mktemp("distributed")
    recipe, run = tiny.write_recipe(folder / "recipe.toml"), folder / "run"
    done = in_two_processes("-m", "atonce", *training(recipe, run))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"run"') == 1, "only the first process speaks"
    return recipe, run


def test_alone_nothing_is_shared() -> None:
    batch = batch_of(SOURCES)
    assert SINGLE_PROCESS.is_first
    assert SINGLE_PROCESS.shares([batch]) == [batch]
    assert SINGLE_PROCESS.broadcast(0.5) == 0.5
    state = torch.get_rng_state()
    SINGLE_PROCESS.seed_per_rank(1, 1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_the_batch(count: int) -> None:
    batch = batch_of(SOURCES)
    shares = [share for rank in range(count) for share in Ranks(rank, count).shares([batch])]
    assert sum(share.target_tokens for share in shares) == batch.target_tokens
    assert sorted(row.tolist() for share in shares for row in share.source) == sorted(batch.source.tolist())


def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    (tmp_path / "gradients.py").write_text(GRADIENTS)
    done = in_two_processes(str(tmp_path / "gradients.py"))
    assert done.returncode == 0, done.stderr


def test_torchrun_starts_again_what_was_killed_and_nothing_is_lost(
    with_dropout: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe, undisturbed = with_dropout
    (tmp_path / "dies.py").write_text(DIES)
    done = in_two_processes(str(tmp_path / "dies.py"), *training(recipe, tmp_path / "run"), restarts=1)
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr
    assert tiny.what_was_learned(tmp_path / "run") == tiny.what_was_learned(undisturbed)


def test_one_process_goes_on_where_two_broke_off(tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path / "recipe.toml", model=WITHOUT_DROPOUT, training=PRECISE)
    (tmp_path / "dies.py").write_text(DIES)
    done = in_two_processes(str(tmp_path / "dies.py"), *training(recipe, tmp_path / "run"))
    assert done.returncode != 0
    assert "exitcode: -9" in done.stderr
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000006"]
    parsed = tiny.recipe(model=WITHOUT_DROPOUT, training=PRECISE)
    train(parsed, tmp_path / "run", resume=True, quiet=True, device="cpu")
    train(parsed, tmp_path / "alone", quiet=True, device="cpu")
    assert_learned_the_same(tmp_path / "run", tmp_path / "alone")


def test_two_processes_end_together_when_their_minutes_are_over(tmp_path: Path) -> None:
    """One of them dies on the way, and what was planned before that is kept to."""
    recipe, run = tmp_path / "recipe.toml", tmp_path / "run"
    values = tiny.values(training={"minutes": 0.1, "save_every": 1})
    del values["training"]["steps"], values["training"]["validate_every"]
    recipe.write_text(tomli_w.dumps(values))
    (tmp_path / "dies.py").write_text(DIES.replace("(1, 9,", "(1, 3,"))  # there are so many on any machine
    done = in_two_processes(str(tmp_path / "dies.py"), *training(recipe, run), restarts=1)
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr
    opened = RunFolder.open(run)
    last = opened.read_log()[-1]
    assert last["share"] == 1
    firsts = [plan["first"] for plan in opened.budget.read()]
    assert firsts == sorted(set(firsts)), "nothing was planned twice"
    assert firsts[-1] == last["step"] + 1


def test_a_fault_of_the_first_process_ends_all(with_dropout: tuple[Path, Path]) -> None:
    recipe, run = with_dropout
    before = tiny.everything_in(run)
    done = in_two_processes("-m", "atonce", *training(recipe, run))
    assert done.returncode != 0
    assert done.stderr.count("already holds a run") == 1
    assert "Traceback" not in done.stderr.partition("already holds a run")[0]
    assert tiny.everything_in(run) == before


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs")
def test_two_gpus_learn_as_one_process(tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path / "recipe.toml", model=WITHOUT_DROPOUT, training=PRECISE)
    done = in_two_processes("-m", "atonce", *training(recipe, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    train(tiny.recipe(model=WITHOUT_DROPOUT, training=PRECISE), tmp_path / "alone", quiet=True)
    assert_learned_the_same(tmp_path / "run", tmp_path / "alone")
