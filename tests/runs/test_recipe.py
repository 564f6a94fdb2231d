import os
import tomllib
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recipe_keys
import tiny
from atonce.errors import RecipeError
from atonce.runs.recipe import FORMAT, LONGEST_FILE, Recipe, dumps, load, names, with_budget


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def said(*overrides: str, recipe: str | Path = "dates") -> list[str]:
    """The three lines about what is wrong."""
    with pytest.raises(RecipeError) as caught:
        load(recipe, overrides)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    return lines


def test_those_that_ship_are_listed() -> None:
    assert names() == sorted(names())
    assert {"dates", "localisation", "tatoeba"} <= set(names())


def test_a_section_without_a_kind_changes_options_of_the_default_one() -> None:
    encoder = load("dates", ["model.encoder.layers=2"]).model.encoder
    assert (encoder.kind, encoder.layers) == ("transformer", 2)


@pytest.mark.parametrize("name", names())
def test_every_one_that_ships_can_be_stored_and_read_again(name: str, tmp_path: Path) -> None:
    recipe = load(name)
    assert recipe.about
    assert load(written(tmp_path, dumps(recipe))) == recipe


@pytest.mark.parametrize("name", names())
def test_every_default_is_written_out(name: str) -> None:
    recipe = load(name)
    stored = tomllib.loads(dumps(recipe))
    assert stored["format"] == FORMAT
    for section in ("data", "vocabulary", "model", "training", "decoding"):
        config = getattr(recipe, section)
        filled = {key for key in type(config).model_fields if getattr(config, key) is not None}
        assert set(stored[section]) == filled
    for side in ("encoder", "decoder"):
        config = getattr(recipe.model, side)
        filled = {key for key in type(config).model_fields if getattr(config, key) is not None}
        assert set(stored["model"][side]) == filled


@pytest.mark.parametrize("name", names())
def test_the_recipes_that_ship_say_nothing_twice(name: str) -> None:
    """What is the default anyway is not in the file: a default is written once, in the code."""
    text = (resources.files("atonce") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    for section, keys in values.items():
        for key in keys if isinstance(keys, dict) else ():
            if key == "kind" or section == "data":
                continue
            fewer = {**values, section: {name: value for name, value in keys.items() if name != key}}
            with suppress(RecipeError):  # it does not even fit together without
                assert Recipe.parse(fewer, origin=name) != load(name), f"{section}.{key}"


@pytest.mark.parametrize("key", ["training.seed", "data.seed"])
@pytest.mark.parametrize("seed", ["-1", "18446744073709551616", "1.0", "true", "'1'", "abc"])
def test_what_is_no_seed_is_refused(key: str, seed: str) -> None:
    with pytest.raises(RecipeError, match=f"{key} cannot be .* in recipe dates.*\n.*from 0 to"):
        load("dates", [f"{key}={seed}"])


def test_the_largest_seed_is_kept_to_the_last_digit() -> None:
    recipe = load("dates", [f"training.seed={2**64 - 1}", f"data.seed={2**64 - 1}"])
    again = Recipe.parse(tomllib.loads(dumps(recipe)), origin="again")
    assert again == recipe
    assert again.training.seed == 2**64 - 1


@pytest.mark.parametrize("tag", ["de", "zh-Hant", "zh_CN", "zho_Hans", "sr-Latn-RS", "ceb"])
def test_own_files_may_say_their_languages(tag: str) -> None:
    data = {"kind": "files", "source": "a", "target": "b", "source_language": "en", "target_language": tag}
    recipe = Recipe.parse({"data": data}, origin="own")
    assert recipe.data.languages == ("en", tag)
    assert Recipe.parse(tomllib.loads(dumps(recipe)), origin="again") == recipe


@pytest.mark.parametrize(
    ("tag", "fix"),
    [
        ("Chinese", "did you mean 'zh', Chinese?"),
        ("cn", "did you mean 'zh', Chinese?"),
        ("jp", "did you mean 'ja', Japanese?"),
        ("german", "did you mean 'de', German?"),
        ("", "give one such as"),
        ("qq", "give one such as"),
    ],
)
def test_what_is_no_language_is_refused(tag: str, fix: str) -> None:
    data = {"kind": "files", "source": "a", "target": "b", "target_language": tag}
    with pytest.raises(RecipeError) as told:
        Recipe.parse({"data": data}, origin="own")
    assert told.value.what == f"data.target_language cannot be {tag!r} in own"
    assert told.value.fix.startswith(fix)


steps = st.none() | st.integers(1, 10**9)
trainings = st.fixed_dictionaries(
    {"learning_rate": st.floats(1e-9, 10), "seed": st.integers(0, 2**64 - 1)},
    optional={
        "steps": st.integers(1, 10**9),
        "patience": st.integers(1, 99),
        "schedule": st.sampled_from(["linear", "cosine", "inverse_sqrt", "constant"]),
    },
)


@given(trainings, st.sampled_from([tiny.TRANSFORMER, tiny.GRU]), st.text())
def test_any_recipe_can_be_stored_and_read_again(
    training: dict[str, Any], model: dict[str, Any], about: str
) -> None:
    values = {"data": tiny.DATES, "model": model, "training": training, "about": about}
    recipe = Recipe.parse(values, origin="a test")
    assert Recipe.parse(tomllib.loads(dumps(recipe)), origin="a test") == recipe


def test_by_path(tmp_path: Path) -> None:
    path = written(tmp_path, '[data]\nkind = "dates"\npairs = 500\n')
    assert load(path).data.pairs == load(str(path)).data.pairs == 500


def test_a_file_of_that_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dates").write_text("nothing")
    assert load("dates").data.kind == "dates"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.steps=2000", "training.steps", 2000),
        ("training.steps = 2000", "training.steps", 2000),
        ("training.learning_rate=1e-3", "training.learning_rate", 1e-3),
        ("training.schedule=cosine", "training.schedule", "cosine"),
        ('training.schedule="cosine"', "training.schedule", "cosine"),
        ("vocabulary.split_digits=false", "vocabulary.split_digits", False),
        ("about=a = b # c", "about", "a = b # c"),
        ("about=", "about", ""),
        ("model.encoder={kind='gru', layers=2}", "model.encoder.layers", 2),
        ("model.dim=64", "model.dim", 64),
    ],
)
def test_one_key_can_be_changed(override: str, path: str, value: object) -> None:
    found: Any = load("dates", [override])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_keys_in_sections_in_sections_that_the_file_does_not_have() -> None:
    recipe = load("dates", ["model.encoder.kind=gru", "model.encoder.layers=3", "model.encoder.dropout=0"])
    assert (recipe.model.encoder.kind, recipe.model.encoder.layers) == ("gru", 3)
    assert recipe.model.encoder.dropout == 0


def test_overriding_changes_nothing_else() -> None:
    before = load("dates")
    after = load("dates", ["training.batch_tokens=99"])
    assert after.training == before.training.model_copy(update={"batch_tokens": 99})
    assert after.model_copy(update={"training": before.training}) == before
    assert load("dates") == before


def test_the_later_of_two_overrides_wins() -> None:
    assert load("dates", ["training.seed=2", "training.seed=3"]).training.seed == 3


def test_a_number_names_a_column_too() -> None:
    recipe = load("dates", ["data={kind='tsv', path='t.tsv', source=1, target=2}"])
    assert (recipe.data.source, recipe.data.target) == ("1", "2")


def test_budgets_replace_one_another() -> None:
    assert load("dates").training.minutes
    for overrides, minutes, steps in [
        (["training.steps=5"], None, 5),
        (["training.minutes=5"], 5, None),
        (["training.steps=5", "training.minutes=2"], 2, None),
        (["training.minutes=2", "training.steps=5"], None, 5),
    ]:
        training = load("dates", overrides).training
        assert (training.minutes, training.steps) == (minutes, steps)


def test_another_budget() -> None:
    recipe = load("dates")
    assert with_budget(recipe) == recipe
    assert with_budget(recipe, steps=5) == load("dates", ["training.steps=5"])
    assert with_budget(recipe, minutes=5.0) == load("dates", ["training.minutes=5"])
    assert with_budget(recipe, minutes=5.0) == with_budget(with_budget(recipe, steps=7), minutes=5.0)
    with pytest.raises(RecipeError, match="fit together") as caught:
        with_budget(recipe, minutes=5.0, steps=5)
    assert caught.value.fix == "keep one of training.steps and training.minutes"


def test_two_budgets_in_one_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[data]\nkind = "dates"\n[training]\nsteps = 5\nminutes = 2\n')
    what, why, fix = said(recipe=path)
    assert what == f"[training] does not fit together in {path}"
    assert why == "  why: steps and minutes are both given"
    assert fix == "  fix: keep one of training.steps and training.minutes"


@pytest.mark.parametrize("override", ["training.steps", "=3", "", " =3", "--minutes"])
def test_an_override_that_is_none(override: str) -> None:
    what, _, fix = said(override)
    assert what == f"cannot read --set {override!r}"
    assert "--set training.steps=2000" in fix


def test_an_override_below_a_value() -> None:
    assert "about is not a section" in said("about.text=3")[1]


@pytest.mark.parametrize(
    ("override", "unknown", "nearest"),
    [
        ("trainig.steps=3", "unknown key 'trainig' in recipe dates with --set", "did you mean 'training'?"),
        ("training.step=3", "unknown key 'step' in recipe dates with --set, section [training]", "'steps'"),
        ("data.pars=3", "unknown key 'pars' in recipe dates with --set, section [data]", "'pairs'"),
        ("data.kind=date", "unknown data.kind 'date'", "'dates'"),
        ("model.encoder.kind=lsmt", "unknown model.encoder.kind 'lsmt'", "'lstm'"),
        ("model.decoder={kind='gru', atention='dot'}", "'atention'", "'attention'"),
        ("model.decoder={kind='gru', attention='aditive'}", "attention is 'aditive'", "'additive'"),
        ("training.schedule=lineal", "training.schedule is 'lineal'", "'linear'"),
        ("vocabulary.kind=bpa", "vocabulary.kind is 'bpa'", "'bpe'"),
        ("training.precision=exact", "training.precision is 'exact'", "auto, float32, bfloat16"),
    ],
)
def test_what_is_not_known_names_the_nearest_that_is(override: str, unknown: str, nearest: str) -> None:
    what, _, fix = said(override)
    assert unknown in what
    assert nearest in fix


@pytest.mark.parametrize(
    ("override", "what", "why"),
    [
        ("training.steps=0", "training.steps cannot be 0", "greater than or equal to 1"),
        ("training.steps=abc", "training.steps cannot be 'abc'", "valid integer"),
        ("training.minutes=inf", "training.minutes cannot be inf", "finite"),
        ("training.minutes=nan", "training.minutes cannot be nan", "finite"),
        ("training.label_smoothing=1", "training.label_smoothing cannot be 1", "less than 1"),
        ("model.dim=127", "model.dim cannot be 127", "multiple of 2"),
        ("model.dim=126", "[model] does not fit together", "does not split into 4 heads"),
        ("data=3", "data cannot be 3", "dictionary"),
        ("format=99", "format cannot be 99", "less than or equal to"),
        ("data={source='a'}", "data.kind is missing", "depend on it"),
        ("data={kind='files', source='a'}", "data.target is missing", "no default"),
    ],
)
def test_impossible_values(override: str, what: str, why: str) -> None:
    lines = said(override)
    assert what in lines[0]
    assert "recipe dates with --set" in lines[0]
    assert why in lines[1]


def test_no_such_recipe() -> None:
    what, why, fix = said(recipe="date")
    assert what == "no recipe is called 'date'"
    assert "neither a recipe that ships with atonce nor a .toml file" in why
    assert fix == "  fix: did you mean 'dates'?"
    assert "known here: dates, " in said(recipe="xyzw")[2]


def test_no_such_file(tmp_path: Path) -> None:
    what, why, fix = said(recipe=tmp_path / "no.toml")
    assert what == f"cannot read the recipe {tmp_path / 'no.toml'}"
    assert why == "  why: No such file or directory"
    assert "atonce recipes" in fix


def test_broken_files(tmp_path: Path) -> None:
    path = written(tmp_path, "[data\n")
    assert said(recipe=path)[0] == f"{path} is not TOML"
    assert "line 1" in said(recipe=path)[1]
    path.write_bytes(b"[data]\nkind = '\xe9'\n")
    assert said(recipe=path)[0] == f"{path} is not UTF-8"
    assert "byte 15" in said(recipe=path)[1]
    path.write_text("")
    assert said(recipe=path)[0] == f"data is missing in {path}"
    assert said(recipe=tmp_path / "recipe.toml" / "x.toml")[0].startswith("cannot read the recipe")


DATES = '[data]\nkind = "dates"\n'


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    assert load(written(tmp_path, f"\ufeff{DATES}")) == load(written(tmp_path, DATES))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(DATES.encode(encoding))
    what, why, fix = said(recipe=path)
    assert what.startswith(f"{path} is in UTF-{encoding[4:6]}")
    assert "always UTF-8" in why
    assert "iconv -f UTF-" in fix


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("[" * 100_000, "deeper than 16"),
        ("[" * 20 + "]" * 20, "deeper than 16"),
        ("{a=" * 20_000, "deeper than 16"),
        ("9" * 5000, "a number or a date that cannot be"),
        ("0x" + "f" * 9000, "a number of more than 20 digits"),
        ("[1, [" + "0x" + "f" * 9000 + "]]", "a number of more than 20 digits"),
        ('"' + "x" * LONGEST_FILE + '"', "1,048,576"),
    ],
    ids=["list", "closed list", "table", "digits", "hexadecimal", "inside", "text"],
)
def test_what_no_recipe_has_is_refused(value: str, why: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"{DATES}pairs = {value}\n")
    assert why in said(recipe=path)[1]
    assert why in said(f"data.pairs={value}")[1]


@pytest.mark.parametrize(
    "key", [".".join("a" * 100_000), '"a".' * 90_000 + "a", ".".join("a" * 30)], ids=["bare", "quoted", "few"]
)
def test_keys_without_end_are_refused_at_once(key: str, tmp_path: Path) -> None:
    """The time that the parser takes grows with the square of their parts."""
    assert "goes deeper" in said(recipe=written(tmp_path, f"{DATES}{key} = 1\n"))[1]
    assert "parts" in said(f"{key}=1")[1]


def test_dotted_texts_are_no_deep_keys(tmp_path: Path) -> None:
    about = ".".join(map(str, range(50)))
    assert load(written(tmp_path, f'about = "{about}"\n{DATES}')).about == about


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    (tmp_path / "folder.toml").mkdir()
    for name, why in (("pipe", "a pipe"), ("endless", "a device"), ("folder", "a folder")):
        assert why in said(recipe=tmp_path / f"{name}.toml")[1]


@pytest.mark.parametrize(
    "path", ["a\0b.toml", "\ud800.toml", "~nobody/x.toml", "x" * 5000 + ".toml", "a\nb.toml"], ids="01234"
)
def test_paths_that_cannot_be(path: str) -> None:
    assert said(recipe=path)[0].startswith("cannot read the recipe")


@pytest.mark.parametrize(
    "override", ["about=1979-05-27", "about=true", "model.encoder=1979-05-27", "data='x'"]
)
def test_values_of_another_type_are_refused(override: str) -> None:
    assert "cannot be" in said(override)[0]


ODD = ["x\ny.z=1", "training.schedule='" + "x" * 10**5 + "'", "data={kind=[1]}", "training.steps=\ud800"]


@pytest.mark.parametrize("override", ODD, ids=["key", "long", "list", "half a character"])
def test_whatever_is_written_three_lines_say_it(override: str) -> None:
    assert max(map(len, said(override))) < 500


def test_lines_behind_a_value_are_no_keys() -> None:
    assert load("dates", ["about=1\nformat=2"]).about == "1\nformat=2"


def test_an_older_spelling_of_a_task_is_read() -> None:
    values = load("docstrings").model_dump()
    assert values["data"]["task"] == "summarization"
    values["data"]["task"] = "summarisation"
    assert Recipe.parse(values, origin="an older run") == load("docstrings")
    own = {"kind": "tsv", "path": "a.tsv", "columns": [1, 2], "task": "summarisation"}
    recipe = Recipe.parse({"data": own}, origin="an older run")
    assert recipe.data.task == "summarization"
    assert "summarisation" not in dumps(recipe)


def test_the_page_of_keys_is_what_the_configs_say() -> None:
    """python tests/recipe_keys.py > docs/recipes.md"""
    written = Path(__file__).parents[2] / "docs" / "recipes.md"
    assert written.read_text(encoding="utf-8") == recipe_keys.page()
