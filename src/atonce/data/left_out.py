"""What was left out of a corpus, by reason; told after it was prepared, and kept in data.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MUCH = 0.05
"""Share of the training pairs. Where more of them are left out, or read otherwise, there is a warning."""


@dataclass(frozen=True)
class _Reason:
    """Why pairs are left out."""

    name: str
    """Of the reason, as programs read it."""
    said: str
    advice: str
    """What to do where there are many."""


REASONS = {
    "pairs_leaking": _Reason(
        "leaking",
        "share a source with validation or test text",
        "a model is not tested on what it was trained on: give other validation and test texts, or none, and "
        "they are cut off the training text",
    ),
    "pairs_leaking_by_target": _Reason(
        "leaking_by_target",
        "share only a target with validation or test text",
        'data.repeats = "sources" keeps them: apart is then only what shares a source',
    ),
    "pairs_too_long": _Reason(
        "too_long", "are longer than data.max_length", "raise data.max_length, or split the texts"
    ),
    "pairs_empty": _Reason(
        "empty_side",
        "have an empty side",
        "check which file, column or key data.source and data.target (or data.columns) name",
    ),
    "pairs_blank": _Reason("blank", "are blank lines", "look for what else is in the file"),
    "pairs_repeated": _Reason(
        "repeated",
        "are in the validation or test text already",
        "pairs that are the same are tested once: smaller data.valid_size and data.test_size leave more",
    ),
}
"""By their keys in data.json. No pair is counted twice."""


@dataclass
class Counts:
    """The numbers of data.json. Pairs read = train + valid + test + all that were left out, by reason."""

    pairs_read: int = 0
    pairs_blank: int = 0
    pairs_empty: int = 0
    pairs_too_long: int = 0
    pairs_leaking: int = 0
    pairs_leaking_by_target: int = 0
    pairs_repeated: int = 0
    sources_cut: int = 0
    sources_respelt: int = 0
    targets_respelt: int = 0
    train_pairs: int = 0
    valid_pairs: int = 0
    test_pairs: int = 0
    source_pieces: int = 0
    target_pieces: int = 0
    vocabulary_size: int = 0


def left_out(report: Mapping[str, Any]) -> dict[str, int]:
    """How many pairs were left out, by reason. `report`: what data.json says."""
    return {reason.name: report.get(key, 0) for key, reason in REASONS.items()}


def warnings(report: Mapping[str, Any]) -> list[str]:
    """A sentence for each reason for which many of the pairs were left out, or are read otherwise.

    It names the key of the recipe to change.
    """
    # Of what might have trained: pairs that were cut off for validation and test are no loss.
    candidates = report["train_pairs"] + sum(left_out(report).values())
    said = [
        f"{_share(report[key], candidates)} of the pairs {reason.said}, and are left out -> {reason.advice}"
        for key, reason in REASONS.items()
        # get: reports on images, and those of older versions, have no such counts.
        if report.get(key, 0) > MUCH * candidates
    ]
    train = report["train_pairs"]
    if report.get("sources_cut", 0) > MUCH * train:
        said.append(
            f"of {_share(report['sources_cut'], train)} of the sources only the beginning is read -> "
            "raise data.max_length to read more"
        )
    if report.get("targets_respelt", 0) > MUCH * train:
        said.append(
            f"{_share(report['targets_respelt'], train)} of the targets are learned in another spelling than "
            f'they have (white space, composed letters) -> vocabulary.normalization = "none" keeps theirs'
        )
    return said


def summary(report: Mapping[str, Any]) -> list[str]:
    """What became of a corpus, in lines for people."""
    sides = sum(report[f"{side}_pairs"] for side in ("train", "valid", "test"))
    said = [
        f"{report.get('pairs_read', sides):,} pairs read: {report['train_pairs']:,} to train on, "
        f"{report['valid_pairs']:,} for validation, {report['test_pairs']:,} for test."
    ]
    reasons = [f"{report[key]:,} {reason.said}" for key, reason in REASONS.items() if report.get(key, 0)]
    if reasons:
        said.append(f"Left out: {'; '.join(reasons)}.")
    return [*said, *report.get("notes", []), *(f"warning: {one}" for one in report.get("warnings", []))]


def _share(some: int, of: int) -> str:
    return f"{some / of:.1%}".replace("%", " %") + f" ({some:,})"
