"""Every chain that is followed keeps its own steps, whichever channel and position it is in."""

import torch

from atonce.measure.chain import Chains, Step
from atonce.measure.shadows import FIRST_PATH, NOTHING, STEP


def step(name: str) -> Step:
    return Step(name, "file.py", 1, "function")


def test_chains_that_meet_keep_what_was_before_each() -> None:
    chains, (first, second, last) = Chains(), map(step, ("first", "second", "last"))
    shadow = torch.full((FIRST_PATH + 1, 3), NOTHING)
    shadow[:, :2] = STEP
    one, other = shadow.clone(), 2 * shadow
    other[:, 2] = NOTHING
    chains.extend(one, first)
    chains.extend(other, second)
    joined = torch.where(torch.tensor([True, False, False]), one, other)
    kept = joined.clone()
    chains.extend(joined, last)
    assert joined[FIRST_PATH:].equal(kept[FIRST_PATH:]), "paths have no chains"
    assert joined[:, 2].eq(NOTHING).all(), "what depends on nothing is followed nowhere"
    assert joined[:FIRST_PATH, :2].floor_divide(STEP).equal(kept[:FIRST_PATH, :2].floor_divide(STEP))
    for channel in joined[:FIRST_PATH]:
        found = [chains.steps(int(link)) for link in channel[:2] % STEP]
        assert found == [(first, last), (second, last)]
