"""Models from outside the project are measured without change: those of the `transformers` library."""

import pytest
import torch
from torch import Tensor, nn

from atonce.measure import growth, work_span

transformers = pytest.importorskip("transformers")

SMALL = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "max_position_embeddings": 64}


def tokens(length: int) -> Tensor:
    return torch.randint(3, 16, (1, length), generator=torch.Generator().manual_seed(length))


@pytest.fixture(scope="module")
def bert() -> nn.Module:
    torch.manual_seed(0)
    return transformers.BertModel(transformers.BertConfig(**SMALL, **HEADS)).eval()


@pytest.fixture(scope="module")
def gpt() -> nn.Module:
    torch.manual_seed(0)
    return transformers.GPT2Model(
        transformers.GPT2Config(vocab_size=16, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    ).eval()


def test_bert_sees_everything_at_once(bert: nn.Module) -> None:
    found = growth(tokens, bert, (4, 8, 16))
    assert found.unknown == {}
    assert (found.span.law, found.path.law) == ("constant", "constant")
    assert found.calls[8].connected == 1


def test_gpt_sees_only_what_came_before(gpt: nn.Module) -> None:
    found = work_span(gpt, tokens(6))
    assert found.unknown == {}
    assert found.paths is not None
    assert torch.equal(found.paths.isfinite(), torch.ones(6, 6).triu().bool())


def test_a_training_step_of_gpt_takes_constant_span(gpt: nn.Module) -> None:
    def step(tokens: Tensor) -> None:
        gpt.zero_grad()
        gpt(tokens).last_hidden_state.square().mean().backward()

    assert growth(tokens, step, (4, 8, 16), paths=False).span.law == "constant"
