"""The commands, and how the command line is parsed. Nothing heavy is imported before a command runs."""
# `--help` takes 0.2 s; torch alone takes more than a second to import (benchmarks/NOTES.md, "Starting").

import math
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import atonce
from atonce.cli.compare import compare, demo
from atonce.cli.evaluate import evaluate
from atonce.cli.explain import context, heatmap
from atonce.cli.export import export
from atonce.cli.measure import measure
from atonce.cli.predict import classify, read, summarize, translate
from atonce.cli.recipes import recipes
from atonce.cli.serve import serve
from atonce.cli.train import distill, train
from atonce.errors import AtonceError, RecipeError

# typer has click, or a copy of it, and gives the base of its errors no name.
UsageError: type[Any] = typer.BadParameter.__bases__[0]
_TEXTS = ("text", "target", "word")
"""Arguments and options that may be any text: also one that begins with a dash, or that is empty."""
_LIKE_AN_OPTION = re.compile(r"--?[^\W\d_]\S*")


class Command(TyperCommand):
    """A command whose texts may begin with a dash, and which refuses empty names, NaN and zero bytes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line. Raises RecipeError for values that no command accepts."""
        rest = super().parse_args(ctx, self._texts_apart(args))
        for name, value in _named(self.params, ctx.params):
            _check(name, value)
        return rest

    def _texts_apart(self, args: list[str]) -> list[str]:
        """Options and values, then `--`, then the arguments: to the parser, `-5` would be an option."""
        takes = {"-h": None, "--help": None} | {
            name: None if getattr(param, "is_flag", False) else param
            for param in self.params
            if param.param_type_name == "option"
            for name in (*param.opts, *param.secondary_opts)
        }
        slots = [param for param in self.params if param.param_type_name == "argument"]
        options: list[str] = []
        texts: list[str] = []
        words = iter(args)
        for word in words:
            name, equals, value = word.partition("=")
            if word == "--":
                for text in words:
                    _check_given(slots, len(texts), text)
                    texts.append(text)
            elif word in takes and takes[word] is not None:
                given = next(words, None)
                if given is None:
                    return args  # the parser reports what is missing
                _check_not_empty(word, takes[word], given)
                options += [word, given]
            elif word in takes:
                options.append(word)
            elif equals and takes.get(name) is not None:
                _check_not_empty(name, takes[name], value)
                options.append(word)
            elif word.startswith("-") and not self._is_text(word, slots[len(texts) :], list(takes)):
                options.append(word)  # the parser reports an unknown option
            else:
                _check_given(slots, len(texts), word)
                texts.append(word)
        return [*options, "--", *texts]

    def _is_text(self, word: str, slots: list[Any], known: list[str]) -> bool:
        """Whether a word that begins with a dash is an argument."""
        if not _LIKE_AN_OPTION.fullmatch(word):
            return True  # a number, several words, a dash
        wanted = bool(slots) and slots[0].name in _TEXTS
        # A text like `-ja`, unless it is nearly an option: then it is a typing error.
        return wanted and not get_close_matches(word.partition("=")[0], known, cutoff=0.7)


def _named(params: Sequence[Any], values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each value with the name of its parameter."""
    for param in params:
        value = values.get(param.name)
        for one in value if isinstance(value, (list, tuple)) else [value]:
            yield _name_of(param), one


def _name_of(param: Any) -> str:
    is_option = param.param_type_name == "option"
    return str(max(param.opts, key=len)) if is_option else str(param.name).upper()


def _check_given(slots: list[Any], place: int, word: str) -> None:
    """Check an argument before it becomes a path: an empty path would be the working folder."""
    if slots:
        param = slots[min(place, len(slots) - 1)]
        _check_not_empty(_name_of(param), param, word)


def _check_not_empty(name: str, param: Any, value: str) -> None:
    if value or (param is not None and param.name in _TEXTS):
        return
    raise RecipeError(
        f"{name} is empty",
        why="an empty path would mean the current folder",
        fix=f"give {name} a value; if it is a shell variable, it is not set",
    )


def _check(name: str, value: Any) -> None:
    """Raise RecipeError for numbers that are not finite, and for texts that are not text."""
    # nan is within any bounds of typer's: every comparison with it is false.
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(
            f"{name} cannot be {value}", why="it is not a finite number", fix=f"give {name} a number"
        )
    if not isinstance(value, str | PurePath):
        return
    if "\0" in str(value):
        raise RecipeError(
            f"{name} cannot be {str(value)!r}", why="it has a zero byte, which is no text", fix="remove it"
        )
    if isinstance(value, str):
        # Python reads bytes that are not UTF-8 as lone surrogates, which fail only where they are written.
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise RecipeError(
                f"{name} is not UTF-8",
                why=f"it is {value!a}, as far as it can be decoded",
                fix="give it as UTF-8",
            ) from None


def explained(error: Any) -> AtonceError:
    """What, why and fix for a usage error of typer's."""
    # By names and texts: typer has click's errors, or a copy of them, and exports hardly any of the classes.
    context = error.ctx
    command = context.command_path if context else "atonce"
    see = f"see {command} --help"
    said = " ".join(error.format_message().split()).rstrip(".")
    kind = type(error).__name__
    if kind == "NoSuchOption":
        known = [name for param in context.command.params for name in param.opts]
        close = error.possibilities or get_close_matches(error.option_name, known, n=1)
        meant = f"did you mean {close[0]}? If not, {see}" if close else see
        return RecipeError(
            f"there is no option {error.option_name}", why=f"{command} has no such option", fix=meant
        )
    if said.startswith("No such command"):
        name, known = said.split("'")[1], list(context.command.commands)
        close = get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]!r}? If not, {see}" if close else see
        return RecipeError(f"there is no command {name!r}", why="atonce has no such command", fix=meant)
    if kind == "NoArgsIsHelpError":
        return RecipeError("there is no command", why="atonce alone does nothing", fix=see)
    named = None if getattr(error, "param", None) is None else _name_of(error.param)
    if kind == "MissingParameter" and named:
        return RecipeError(f"{named} is missing", why=f"{command} needs it", fix=see)
    if isinstance(error, typer.BadParameter) and named:
        why = said.partition(": ")[2] or said
        return RecipeError(f"invalid value for {named}", why=why[0].lower() + why[1:], fix=see)
    return RecipeError("the command line cannot be parsed", why=said, fix=see)


app = typer.Typer(
    name="atonce",
    help="Sequence models, from recurrence to attention: train them on your text, see what they look at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"atonce {atonce.__version__}")
        raise typer.Exit
    return wanted  # typer takes what a callback returns for the option's value


@app.callback()
def _of_all_commands(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


for command in (
    demo, recipes, train, translate, summarize, classify, read, evaluate, heatmap, context,
    compare, measure, serve, export, distill,
):  # fmt: skip
    app.command(cls=Command)(command)
