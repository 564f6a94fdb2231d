"""The claims of the lecture hold; and each check can tell a claim that does not."""

from collections.abc import Callable

import pytest

from atonce.studies.measurement import claims as module
from atonce.studies.measurement import targets
from atonce.studies.measurement.claims import CHECKS, Claim, claims
from atonce.studies.measurement.targets import DIM


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The laws show at these lengths too."""
    monkeypatch.setattr(module, "LENGTHS", (4, 8, 16))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_claim_holds(check: Callable[[], Claim]) -> None:
    claim = check()
    assert claim.holds, claim.found
    assert claim.says.endswith(".")
    assert all(any(character.isdigit() for character in line) for line in claim.found)


def test_they_are_checked_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Claim("name", "It is so.", ("1",), holds=True)
    monkeypatch.setattr(module, "CHECKS", [lambda: made] * 3)
    ticks = iter(range(10))
    assert list(claims(lambda: next(ticks))) == [made] * 3
    assert next(ticks) == 3


def test_a_false_claim_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured decides, not what is known: with other layers under the same names, claims fail."""
    by_name = {kind.name: kind for kind in targets.LAYERS}
    monkeypatch.setattr(module, "layer", lambda name: by_name["feed-forward" if name == "gru" else name])
    assert not module.states_are_a_chain().holds
    monkeypatch.setattr(module, "layer", lambda name: by_name["self-attention"])
    assert not module.distant_words().holds
    monkeypatch.setitem(module._MODELS, "transformer", "additive-bigru")
    assert not module.transformer_trains_at_once().holds
    assert not module.transformer_writes_in_turn().holds
    monkeypatch.setitem(module._MODELS, "additive", "general-bilstm")
    assert not module.weights_of_different_steps_wait().holds
    monkeypatch.setitem(module._MODELS, "general", "additive-bigru")
    assert not module.luong_attends_at_once().holds
    one_after_the_other = by_name["lstm"].stack(2)
    alone = targets.Recurrence("lstm", DIM, DIM)
    monkeypatch.setattr(targets, "Recurrence", lambda *_, ways=1: one_after_the_other if ways > 1 else alone)
    assert not module.two_chains_side_by_side().holds
