"""The reference pages, made of the code: public names, commands, recipe keys and REST routes.

Each function gives a page in Markdown. Only what is public is imported (`atonce.__all__`, the command line's
app, the recipe, the server's OpenAPI), so that modules may move and nothing changes here. Docstrings are
Markdown, which is why the pages are not made by autodoc: that reads reStructuredText.
"""

import ast
import asyncio
import dataclasses
import inspect
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import atonce
from atonce.cli.app import app

SECTIONS = re.compile(r"^## \[", re.MULTILINE)


# Definition lists, and not tables: a row of five cells does not fit on a telephone.


def entry(term: str, *about: str, anchor: str = "") -> str:
    """A term and what is said about it, each part a paragraph of its own."""
    paragraphs = [textwrap.indent(part, "  ").lstrip() for part in about if part] or ["–"]
    return (f"({anchor})=\n" if anchor else "") + f"{term}\n: " + "\n\n  ".join(paragraphs) + "\n"


def one_line(text: object) -> str:
    """A text of several lines in one."""
    return " ".join(str(text).split())


# Recipes


def recipe_keys(head: str) -> str:
    """Every key of a recipe: what it may be, its default, which kinds have it. `head`: what comes before."""
    parts = [SECTIONS.split(head)[0].rstrip(), ""]
    parts.append('For editors that complete TOML: <a href="recipe.schema.json">recipe.schema.json</a>.\n')
    for name, field in atonce.Recipe.model_fields.items():
        parts += _section(name, [*_configs(field.annotation)])
    return "\n".join(parts)


def _section(name: str, configs: list[type[BaseModel]]) -> Iterator[str]:
    if not configs:
        return
    yield f"## [{name}]\n"
    keys: dict[tuple[str, ...], list[str]] = {}
    inner: dict[str, list[type[BaseModel]]] = {}
    for config in configs:
        schemas = config.model_json_schema()["properties"]
        for key, field in config.model_fields.items():
            if within := [*_configs(field.annotation)]:
                inner.setdefault(key, within)
                continue
            found = (key, _values(schemas[key]), _default(field), one_line(field.description or ""))
            keys.setdefault(found, []).extend(_kinds(config))
    if not keys:
        yield "Its keys are in sections of their own.\n"
    every = [kind for config in configs for kind in _kinds(config)]
    for number, ((key, values, default, about), kinds) in enumerate(keys.items()):
        of = "" if len(kinds) == len(every) else f"Of {', '.join(f'`{kind}`' for kind in kinds)}."
        facts = f"{values}; {default}" if default else values
        anchor = f"{name}.{key}" if (key,) not in {one[:1] for one in [*keys][:number]} else ""
        yield entry(f"`{name}.{key}`", f"{facts}. {of}".strip(), about, anchor=anchor)
    for key, within in inner.items():
        yield from _section(f"{name}.{key}", within)


def _configs(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in typing.get_args(annotation):
        yield from _configs(part)


def _kinds(config: type[BaseModel]) -> tuple[str, ...]:
    return typing.get_args(config.model_fields["kind"].annotation) if "kind" in config.model_fields else ()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    return "default: none" if value in (None, (), "") else f"default `{json.dumps(value).strip(chr(34))}`"


def _values(schema: dict[str, Any]) -> str:
    if words := [word for part in _parts(schema) for word in _words(part)]:
        return ", ".join(f"`{word}`" for word in dict.fromkeys(words))
    for part in _parts(schema):
        bounds = {
            key: part[key]
            for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
            if key in part
        }
        if bounds:
            return _bounds(bounds)
        if part.get("type") == "boolean":
            return "`true`, `false`"
        if part.get("type") == "array":
            return "a list"
    return "a text"


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (inner for one in schema.get("anyOf", [schema]) for inner in one.get("anyOf", [one]))


def _words(schema: dict[str, Any]) -> list[str]:
    return [word for word in schema.get("enum", [schema.get("const")]) if isinstance(word, str)]


def _bounds(bounds: dict[str, float]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join(
        f"{words[key]} {value:,}" if abs(value) >= 1 or not value else f"{words[key]} {value:g}"
        for key, value in bounds.items()
    )


# Commands


def commands() -> str:
    """Every command: usage, arguments and options with their defaults."""
    group: Any = typer.main.get_command(app)
    callbacks: dict[Any, Any] = {
        one.name or one.callback.__name__: one.callback for one in app.registered_commands
    }
    parts = ["# Commands\n", f"{group.help}\n", "`atonce COMMAND --help` says the same in a terminal.\n"]
    parts += [_parameter(one, bool) for one in group.params if one.name != "help"]
    for name, command in group.commands.items():
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        options = [one for one in command.params if one.param_type_name == "option"]
        usage = " ".join(["atonce", name, *(_usage(one) for one in arguments), "[OPTIONS]"])
        parts += [
            f"(command-{name})=\n## atonce {name}\n",
            f"```text\n{usage}\n```\n",
            f"{inspect.cleandoc(command.help)}\n",
        ]
        hints = typing.get_type_hints(inspect.unwrap(callbacks[name]))
        parts += [_parameter(one, hints[one.name]) for one in [*arguments, *options] if one.name in hints]
    return "\n".join(parts)


def _usage(argument: Any) -> str:
    name = argument.name.upper() + (" …" if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _parameter(one: Any, type_: Any) -> str:
    is_argument = one.param_type_name == "argument"
    names = [one.name.upper()] if is_argument else [*one.opts, *one.secondary_opts]
    is_flag = getattr(one, "is_flag", False)
    kind = "" if is_flag or is_argument else f" {_type(type_)}"
    low, high = (getattr(one, side, None) for side in ("min", "max"))
    facts = [
        "must be given" if one.required and not is_argument else "",
        "may be given several times" if one.multiple else "",
        f"from {low:,}" if low is not None else "",
        f"to {high:,}" if high is not None else "",
        f"default `{one.default}`"
        if one.default not in (None, False, (), []) and not callable(one.default)
        else "",
    ]
    said = ", ".join(fact for fact in facts if fact)
    about = one_line(getattr(one, "help", None) or "")
    return entry(f"{', '.join(f'`{name}`' for name in names)}{kind}", about, f"*{said}*" if said else "")


def _type(type_: Any) -> str:
    """What an option takes, in a word."""
    words = {int: "whole number", float: "number", str: "text", Path: "path"}
    parts = [part for part in typing.get_args(type_) if part is not types.NoneType]
    if typing.get_origin(type_) is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    return words.get(type_) or (_type(parts[0]) if parts else "text")


# Python


def python() -> str:
    """Every public name with its signature, what it says of itself, and what it has."""
    found = {name: getattr(atonce, name) for name in atonce.__all__ if name != "measure"}
    functions = {name: one for name, one in found.items() if not isinstance(one, type)}
    results = {name: one for name, one in found.items() if isinstance(one, type) and _is_result(one)}
    classes = {name: one for name, one in found.items() if name not in functions and name not in results}
    head = f"# Python\n\n{one_line(inspect.getdoc(atonce)).partition(' import atonce')[0]}\n"
    head += "\n```python\n" + inspect.getdoc(atonce).partition("\n\n")[2].strip() + "\n```\n"
    parts = [
        head,
        "```{py:module} atonce\n```\n",
        "## Functions\n",
        *(_function(*one) for one in functions.items()),
    ]
    parts += ["## Measuring any torch code\n", *_measuring()]
    parts += ["## Models, recipes, runs\n", *(_class(*one) for one in classes.items())]
    parts += ["## Results\n", *(_class(*one) for one in results.items())]
    return "\n".join(parts)


def _is_result(one: type) -> bool:
    return dataclasses.is_dataclass(one) or issubclass(one, tuple)


def _measuring() -> Iterator[str]:
    stub = Path(str(atonce.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    home, name = re.findall(r"^from (\S+) import (\w+) as _measure$", stub, re.MULTILINE)[0]
    yield _function("measure", getattr(import_module(home), name))
    for name in atonce.measure.__all__:
        if not isinstance(one := getattr(atonce.measure, name), type):
            yield _function(f"measure.{name}", one)


def _directive(kind: str, text: str, body: Iterable[str], *, deep: bool = False, **options: str) -> str:
    fence = "`" * (6 if deep else 4)
    said = "".join(f":{key}: {value}\n" for key, value in options.items())
    return "\n".join([f"{fence}{{py:{kind}}} {text}", said, *body, fence, ""])


def _function(name: str, function: Any) -> str:
    return _directive("function", name + _signature(function), [_doc(function)], module="atonce")


def _class(name: str, one: type) -> str:
    body = [_doc(one), *_attributes(one)]
    for key, member in _members(one).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(member, property) or hasattr(member, "func"):  # cached_property, too
            getter = member.fget if isinstance(member, property) else member.func
            body.append(_directive("property", key, [_doc(getter)], type=_returns(getter)))
            continue
        options = {"classmethod": ""} if isinstance(member, classmethod) else {}
        options |= {"staticmethod": ""} if isinstance(member, staticmethod) else {}
        body.append(
            _directive(
                "method",
                key + _signature(function, method=not options.get("staticmethod")),
                [_doc(function)],
                **options,
            )
        )
    return _directive("class", name + _constructor(one), body, deep=True, module="atonce")


def _members(one: type) -> dict[str, Any]:
    """Public methods and properties, those of the nearest class where several have them."""
    found: dict[str, Any] = {}
    for base in one.__mro__:
        if base.__module__.startswith("atonce."):
            for key, member in vars(base).items():
                is_one = isinstance(
                    member, types.FunctionType | classmethod | staticmethod | property
                ) or hasattr(member, "func")
                if is_one and not key.startswith("_") and (isinstance(member, property) or _doc_of(member)):
                    found.setdefault(key, member)
    return found


def _doc_of(member: Any) -> str | None:
    return getattr(
        getattr(member, "__func__", None) or getattr(member, "func", None) or member, "__doc__", None
    )


def _attributes(one: type) -> Iterator[str]:
    """Fields, with the text under each."""
    seen: dict[str, str] = {}
    for base in reversed(one.__mro__):
        if not base.__module__.startswith("atonce."):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for field, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            name, kind = field.target.id, _plain(ast.unparse(field.annotation))
            if name.startswith("_") or kind.startswith("ClassVar"):
                continue
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            said = [inspect.cleandoc(str(below.value.value))] if is_text else []  # type: ignore[attr-defined]
            options = {"type": kind} | (
                {"value": _plain(ast.unparse(field.value))}
                if field.value
                and "Field(" not in ast.unparse(field.value)
                and "field(" not in ast.unparse(field.value)
                else {}
            )
            seen[name] = _directive("attribute", name, said, **options)
    yield from seen.values()


def _constructor(one: type) -> str:
    if _is_result(one) or issubclass(one, BaseModel | BaseException):
        return ""  # what it is made of are its fields
    made = vars(one).get("__init__")
    return "" if made is None else _signature(made, method=True, returns=False)


def _node(function: Any) -> ast.FunctionDef:
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef)
    return node


def _signature(function: Any, *, method: bool = False, returns: bool = True) -> str:
    """As it is written in the code: shapes of tensors are part of it."""
    node = _node(function)
    if method and node.args.args:
        node.args.args.pop(0)
    given = f" -> {_returns(function)}" if returns and node.returns is not None else ""
    return f"({_plain(ast.unparse(node.args))}){given}"


def _returns(function: Any) -> str:
    node = _node(function)
    return "" if node.returns is None else _plain(ast.unparse(node.returns))


def _plain(code: str) -> str:
    """Without the quotes around a whole type, and the space in shapes of one dimension."""
    return one_line(re.sub(r"^'(.*)'$", r"\1", code)).replace("' ", "'")


def _doc(one: Any) -> str:
    return inspect.getdoc(one) or ""


# REST


@cache
def openapi() -> dict[str, Any]:
    """What a server without a model says of itself."""
    from atonce.serve.app import build_app

    registry = typing.get_type_hints(build_app)["models"]
    return asyncio.run(_get(build_app(registry([])), "/openapi.json"))


async def _get(asgi: Any, path: str) -> Any:
    """Ask an app without a server."""
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        body.extend(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000)}
    await asgi(scope, receive, send)
    return json.loads(body)


def rest() -> str:
    """Every route, what goes in and what comes out, and every message."""
    said = openapi()
    parts = ["# REST\n", f"{said['info'].get('description', '')}\n"]
    file = '<a href="../openapi.json">openapi.json</a>'
    parts.append(f"{file} says the same for programs, and so does `GET /openapi.json` of a server.\n")
    for path, methods in said["paths"].items():
        for method, route in methods.items():
            parts += [
                f"## {method.upper()} {path}\n",
                f"{inspect.cleandoc(route.get('description') or route['summary'])}\n",
            ]
            parts += [
                entry(
                    f"`{one['name']}`, in the {one['in']}", _schema(one["schema"]), one.get("description", "")
                )
                for one in route.get("parameters", [])
            ]
            for kind, content in route.get("requestBody", {}).get("content", {}).items():
                parts.append(entry("Body", f"{_schema(content.get('schema', {}))} ({kind})"))
            parts += [_answer(code, one) for code, one in route["responses"].items() if code < "400"]
            refusals = {code: one for code, one in sorted(route["responses"].items()) if code >= "400"}
            if refusals:
                forms = {form for one in refusals.values() for form in _forms(one)}
                reasons = [f"- {code}: {one['description']}" for code, one in refusals.items()]
                parts.append(entry("Refusals", " or ".join(sorted(forms)), "\n".join(reasons)))
    parts.append("## Messages\n")
    for name, schema in sorted(said.get("components", {}).get("schemas", {}).items()):
        parts += [f"({_anchor(name)})=\n### {name}\n", f"{inspect.cleandoc(schema.get('description', ''))}\n"]
        for key, field in schema.get("properties", {}).items():
            must = "" if key not in schema.get("required", []) else "; must be given"
            default = (
                f"; default `{json.dumps(field['default'])}`" if field.get("default") is not None else ""
            )
            parts.append(
                entry(f"`{key}`", f"{_schema(field)}{must}{default}", one_line(field.get("description", "")))
            )
    return "\n".join(parts)


def _answer(code: str, answer: dict[str, Any]) -> str:
    kinds = answer.get("content", {})
    forms = [f"{_schema(one['schema'])} ({kind})" for kind, one in kinds.items() if one.get("schema")]
    said = answer["description"].removeprefix("Successful Response")
    return entry(f"Answer {code}", said, *(forms or list(kinds)))


def _forms(answer: dict[str, Any]) -> list[str]:
    return [_schema(one["schema"]) for one in answer.get("content", {}).values() if one.get("schema")]


def _anchor(name: str) -> str:
    return f"message-{name.lower()}"


def _schema(schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_schema(one) for one in schema[several]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_schema(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_schema(schema['additionalProperties'])}"
    bounds = {
        key: schema[key]
        for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        if key in schema
    }
    return " ".join([schema.get("type", "anything"), _bounds(bounds)]).strip()
