import json
import tomllib
from importlib import resources

import pytest

from atonce.models.architectures import ARCHITECTURES
from atonce.runs.recipe import Recipe, load, names
from atonce.runs.recipe_keys import SECTIONS, recipe_keys
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


def test_every_key_is_listed_with_its_meaning(atonce: Command) -> None:
    said = atonce("recipes", "--keys")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert [line.strip("[]") for line in lines if line.startswith("[")] == list(SECTIONS)
    warmup = lines.index("  warmup: from 0 to 1,000,000,000; default: 100")
    assert lines[warmup + 1].strip() == "Updates over which the rate rises to its peak."
    assert "  path (tsv, csv, jsonl): a text; required" in lines
    answer = json.loads(atonce("recipes", "--keys", "--json").out)
    assert answer == {"keys": [key.to_dict() for key in recipe_keys()]}
    assert {"section", "key", "kinds", "values", "default", "meaning"} == answer["keys"][0].keys()


def test_the_schema_takes_what_ships_and_nothing_unknown(atonce: Command) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(
        schema := json.loads(atonce("recipes", "--schema").out)
    )
    validator.check_schema(schema)
    for name in names():
        text = (resources.files("atonce") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
        values = tomllib.loads(text)
        assert validator.is_valid(values), name
        assert not validator.is_valid({**values, "trainin": {}})
        training = {**values.get("training", {}), "warmup": -1}
        assert not validator.is_valid({**values, "training": training})
    assert schema["$defs"]["TrainingConfig"]["properties"]["warmup"]["description"].startswith("Updates over")


def test_keys_and_schema_are_not_one_answer(atonce: Command) -> None:
    assert atonce("recipes", "--keys", "--schema").fault[0] == "--keys and --schema do not go together"
