import json

from atonce.models.architectures import ARCHITECTURES
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
    assert any("atonce train NAME" in line for line in lines)
    assert {one.name for one in ARCHITECTURES} <= {line.split()[0] for line in lines if line}


def test_json_holds_every_default(atonce: Command) -> None:
    answer = json.loads(atonce("recipes", "--json").out)
    assert list(answer) == names()
    for name, values in answer.items():
        assert Recipe.parse(values, origin=name) == load(name)
