import json

from atonce.runs.recipe import Recipe, load, names
from command import Command


def test_a_line_for_each(atonce: Command) -> None:
    said = atonce("recipes")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    for name, line in zip(names(), lines, strict=False):
        assert line.split() == [
            name,
            *f"{load(name).training.minutes:g} min".split(),
            *load(name).about.split(),
        ]
    assert "atonce train NAME" in lines[-1]


def test_json_holds_every_default(atonce: Command) -> None:
    answer = json.loads(atonce("recipes", "--json").out)
    assert list(answer) == names()
    for name, values in answer.items():
        assert Recipe.parse(values, origin=name) == load(name)
