import pytest
import torch

from atonce.errors import RecipeError
from atonce.explain.choice import choose_heads, choose_layer
from atonce.explain.record import AttentionRecord, LayerAttention
from atonce.layers.attention import Role


def record_of(**roles: Role) -> AttentionRecord:
    record = AttentionRecord()
    for seed, (name, role) in enumerate(roles.items()):
        draw = torch.Generator().manual_seed(seed)
        record._layers[name] = LayerAttention(name, role, torch.rand(1, 2, 3, 3, generator=draw))
    return record


RECORD = record_of(low="encoder-self", high="encoder-self", first="cross", second="cross")


@pytest.mark.parametrize(
    ("role", "names"), [("cross", ["first", "second"]), ("encoder-self", ["low", "high"])]
)
def test_numbers_and_the_last_are_of_the_role(role: Role, names: list[str]) -> None:
    assert choose_layer(RECORD, None, role).layer == names[-1]
    assert [choose_layer(RECORD, number, role).layer for number in ("1", "2")] == names
    mean = choose_layer(RECORD, "mean", role).weights
    torch.testing.assert_close(mean, (RECORD[names[0]].weights + RECORD[names[1]].weights) / 2)


def test_a_name_may_be_of_any_role() -> None:
    assert choose_layer(RECORD, "low", "cross").layer == "low"


def test_where_there_is_none_of_the_role_the_others_are_offered() -> None:
    with pytest.raises(RecipeError, match=r"looks from the source at itself[\s\S]*give one of: only"):
        choose_layer(record_of(only="cross"), None, "encoder-self")
    with pytest.raises(RecipeError, match=r"looks at the source[\s\S]*give one of: only"):
        choose_layer(record_of(only="encoder-self"), "1")
    with pytest.raises(RecipeError, match=r"'3'[\s\S]*2 layers look at the source[\s\S]*from 1 to 2"):
        choose_layer(RECORD, "3")


def test_all_heads_are_what_each_alone_is() -> None:
    layer = RECORD["first"]
    every = choose_heads(layer, "all")
    for number, (title, weights) in enumerate(every, start=1):
        (alone,) = choose_heads(layer, number)
        assert alone[0] == title == f"first, head {number} of 2"
        assert torch.equal(alone[1], weights)
    torch.testing.assert_close(choose_heads(layer, "mean")[0][1], (every[0][1] + every[1][1]) / 2)
    torch.testing.assert_close(choose_heads(layer, "max")[0][1], torch.maximum(every[0][1], every[1][1]))


@pytest.mark.parametrize("given", ["1" * 5_000, "-1", "²", "0", " 1", "1e9", ""])
def test_what_is_no_number_of_a_layer_or_head_is_told_in_a_line(given: str) -> None:
    """Python reads no number of more than 4,300 digits."""
    for choose in (
        lambda: choose_layer(RECORD, given),
        lambda: choose_heads(choose_layer(RECORD, None), given),
    ):
        with pytest.raises(RecipeError) as refusal:
            choose()
        assert len(refusal.value.what) < 200
