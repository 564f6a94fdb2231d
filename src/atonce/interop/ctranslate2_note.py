"""What is put beside an exported model: how it is used from Python, and what is not as in atonce."""

from atonce.data.tokenizer import Tokenizer
from atonce.interop.ctranslate2_model import positions
from atonce.interop.ctranslate2_trial import Agreement, Pairs
from atonce.runs.recipe import Recipe

_TYPICAL_LENGTH = 20.0
"""Pieces of an output, where no validation data tell."""

_SPELLINGS = {
    "none": "    return text\n",
    "spaces": '    return " ".join(NO_WIDTH.sub("", text).split())\n',
    "nfc": '    return " ".join(unicodedata.normalize("NFC", NO_WIDTH.sub("", text)).split())\n',
    "nfkc": '    return " ".join(unicodedata.normalize("NFKC", NO_WIDTH.sub("", text)).split())\n',
}
"""By `vocabulary.normalization`, the one spelling that a text is read in: `Tokenizer.normalization`."""

_PROGRAM = '''\
import re
import unicodedata

import ctranslate2
import sentencepiece

FOLDER = "."  # where this file is
{settings}
NO_WIDTH = re.compile("[\\u00ad\\u200b\\u2060\\ufeff]")
cutter = sentencepiece.SentencePieceProcessor(model_file=FOLDER + "/tokenizer.model")
model = ctranslate2.Translator(FOLDER, device="cpu")  # device="cuda" on a GPU


def spelt(text):
    """As texts were spelt in training."""
{spelling}

def encode(text):
    """The pieces of a text, as in training."""
    text = spelt(text).replace("\\u2581", "\\ufdd0")  # sentencepiece would take U+2581 for a space
    row = "\\n".join(["", *cutter.encode(text, out_type=str), ""])
    row = re.sub("(?<=\\n)<0xE2>\\n<0x96>\\n<0x81>(?=\\n)", "<0x20>", row)  # a space before an unknown word
    row = re.sub("(?<=\\n)<0xEF>\\n<0xB7>\\n<0x90>(?=\\n)", "<0xE2>\\n<0x96>\\n<0x81>", row)
    return row.split("\\n")[1:-1]{cut}


def decode(pieces):
    """The text of an output, in one line."""
    is_byte = re.compile("<0x[0-9A-F]{{2}}>").fullmatch
    spelt_out = [bytes([int(p[3:5], 16)]) if is_byte(p) else p.replace("\\u2581", " ").encode() for p in pieces]
    text = b"".join(spelt_out).decode("utf-8", "replace").removeprefix(" ")
    return " ".join(text.splitlines())


def translate(texts):
    """For each text the best output and its score, as atonce has it; a blank text stays blank."""
    found = [("", 0.0)] * len(texts)
    rows = [row for row, text in enumerate(texts) if NO_WIDTH.sub("", text).strip()]
    sources = [encode(texts[row]) for row in rows]
    longest = max((int(MAX_LENGTH_RATIO * len(source)) + 10 for source in sources), default=0)
    results = model.translate_batch(
        sources, max_batch_size=2048, batch_type="tokens",
        beam_size=BEAM, num_hypotheses=BEAM, length_penalty=EXPONENT,
        min_decoding_length=0, max_decoding_length=longest, max_input_length=0,
        disable_unk=True, suppress_sequences=[["{pad}"], ["{bos}"]],
        return_scores=True, return_end_token=True,
    )
    for row, result in zip(rows, results):
        ranked = []
        for pieces, score in zip(result.hypotheses, result.scores):
            wu = ((5 + len(pieces)) / 6) ** ALPHA
            ranked.append((score * len(pieces) ** EXPONENT / wu, decode(p for p in pieces if p != "{eos}")))
        score, text = max(ranked, key=lambda one: one[0])
        found[row] = (text, score)
    return found


if __name__ == "__main__":
    for text, score in translate([{example!r}]):
        print(score, text)
'''


def note(
    recipe: Recipe, tokenizer: Tokenizer, pairs: Pairs, exact: Agreement, *, quantization: str | None,
    rounded: Agreement | None, name: str,
) -> str:  # fmt: skip
    """The README.md of an export."""
    length = typical_length(pairs)
    lines = [
        f"# {name}, for CTranslate2",
        "",
        f"Written by atonce. Weights are stored as {quantization or 'float32'}. Needs `pip install ctranslate2 "
        "sentencepiece`.",
        "",
        *_seen(pairs, exact, quantization, rounded),
        "",
        "## From Python",
        "The whole of it, with what atonce does around the model; run it in this folder, or set `FOLDER`.",
        "",
        "```python",
        program(recipe, tokenizer, exponent(recipe.decoding.length_penalty, length)).rstrip("\n"),
        "```",
        "",
        "## What is not as in atonce",
        *(f"- {line}" for line in differences(recipe, tokenizer, length)),
    ]
    return "\n".join(lines) + "\n"


def typical_length(pairs: Pairs) -> float:
    """Pieces of an output, `eos` included: the mean of the validation targets among `pairs`."""
    own = pairs.targets[: pairs.own]
    return sum(len(target) + 1 for target in own) / len(own) if own else _TYPICAL_LENGTH


def exponent(alpha: float, length: float) -> float:
    """The p for which `length ** p` grows as Wu's ((5 + length) / 6) ** alpha does, at this length.

    Only the ratio of what outputs of different lengths are divided by makes a difference to which is the best:
    the slopes of the logarithms are alpha / (5 + length) and p / length.
    """
    return round(alpha * length / (5 + length), 3)


def program(recipe: Recipe, tokenizer: Tokenizer, exponent: float) -> str:
    """Python that uses the export as atonce would, with no atonce."""
    decoding = recipe.decoding
    settings = [
        f"BEAM, ALPHA, MAX_LENGTH_RATIO = {decoding.beam}, {decoding.length_penalty!r}, "
        f"{decoding.max_length_ratio!r}  # of the recipe",
        f"EXPONENT = {exponent!r}  # of the length, in place of Wu's formula with ALPHA",
    ]
    pad, bos, eos = tokenizer.pieces([tokenizer.pad, tokenizer.bos, tokenizer.eos])
    whole = recipe.data.task == "summarisation"
    return _PROGRAM.format(
        settings="\n".join(settings),
        spelling=_SPELLINGS[_normalization(tokenizer)],
        cut=f"[:{recipe.data.max_length}]  # of a longer text, the beginning is read" if whole else "",
        pad=pad, bos=bos, eos=eos, example="3 March 2021" if recipe.data.kind == "dates" else "Some text.",
    )  # fmt: skip


def differences(recipe: Recipe, tokenizer: Tokenizer, length: float) -> list[str]:
    """What CTranslate2 does otherwise than atonce with the same model, a line each."""
    decoding, data = recipe.decoding, recipe.data
    p = exponent(decoding.length_penalty, length)
    rows = positions(recipe)
    lines = [
        f"**Scores.** atonce divides the log-probability of an output of n pieces, the end included, by "
        f"((5 + n) / 6) ** {decoding.length_penalty:g} (Wu 2016), CTranslate2 by n ** length_penalty, with 1 unless "
        f"it is told. No exponent is the same for all n: {p:g} is nearest around {length:.0f} pieces, as outputs "
        f"here have. The program ranks the {decoding.beam} outputs it is given by Wu's formula and gives its scores.",
        f"**Search.** CTranslate2 keeps 2 beginnings unless it is told; the recipe has beam {decoding.beam}. When it "
        "stops is not the same rule, so where outputs are almost as likely, another may come first.",
        "**The first piece.** `min_decoding_length` is 1 unless it is told: the end cannot come first, so no output "
        "is empty, and the end's share of the probability is given to the others, which raises scores. "
        "atonce: 0. `disable_unk` and `suppress_sequences` share out in the same way what atonce leaves with "
        "`<pad>`, `<unk>` and `<s>`; left out, these pieces can be written.",
        f"**The longest output.** atonce ends an output after {decoding.max_length_ratio:g} pieces for each of its "
        "source, and 10 more. CTranslate2 has one number for all texts of a call, 256 unless it is told; the "
        "program gives that of the longest.",
        "**Long texts.** `max_input_length` is 1024 unless it is told: what is behind is cut off in silence, of "
        "sources, and in `score_batch` of targets too, whose log-probabilities are then fewer. The program gives 0, "
        "for no limit." + (_table(rows) if _has_a_table(recipe) else ""),
        _long_texts(recipe),
        "**Blank lines.** atonce leaves a text of white space blank. CTranslate2 does so only with a text of no "
        "pieces; for white space, which has pieces, it writes something.",
        "**U+2581** in a text is taken for a space by sentencepiece; atonce spells it in bytes, as the program does.",
        "**Unknown words.** sentencepiece spells a space before a word without pieces as U+2581 in bytes; atonce, "
        "and the program, as the byte 0x20, on which the model was trained. Bytes that are no UTF-8 become U+FFFD, "
        "line breaks that an output spells become spaces.",
        _spelling(_normalization(tokenizer)),
    ]  # fmt: skip
    return lines


def _seen(pairs: Pairs, exact: Agreement, quantization: str | None, rounded: Agreement | None) -> list[str]:
    """What was compared before this was written."""
    random = len(pairs.sources) - pairs.own
    asked = f"{pairs.own} validation pairs and {random} of random pieces" if pairs.own else f"{random} random pairs"
    lines = [
        f"Compared with the run on {asked}, as float32: log-probabilities of forced outputs and of all pieces in "
        f"outputs written one by one differ by at most {exact.greatest:.1e} nats (1e-4 is allowed)."
    ]
    if rounded is not None:
        lines.append(
            f"Then rounded to {quantization}: those of forced outputs differ by {rounded.mean:.2g} nats a piece in the "
            f"mean, at most {rounded.greatest:.2g}. This was measured on a CPU; on a GPU products are rounded too."
        )
    return lines


def _has_a_table(recipe: Recipe) -> bool:
    sides = (recipe.model.encoder, recipe.model.decoder)
    return any(getattr(side, "positions", None) != "rotary" for side in sides)


def _table(rows: int) -> str:
    return f" There are {rows} positions: a longer source or output ends in an error."


def _long_texts(recipe: Recipe) -> str:
    longest = recipe.data.max_length
    if recipe.data.task == "summarisation":
        return f"**Longer texts.** The first {longest} pieces of a text are read, as in atonce; the program cuts them."
    return (
        f"**Longer texts.** atonce cuts a text of {longest} pieces or more at ends of sentences, translates the parts "
        "and joins them. The program gives it to the model as it is, longer than any that it was trained on: cut "
        "such texts before."
    )


def _spelling(rule: str) -> str:
    if rule == "none":
        return "**Spelling.** Texts are read as they are: NFD is not NFC, and two spaces are not one."
    forms = {"spaces": "", "nfc": ", and NFC", "nfkc": ", and NFKC"}
    return (
        f"**Spelling** (vocabulary.normalization is {rule}). The model was trained on texts with single spaces, none "
        f"at the ends, without what has no width{forms[rule]}. tokenizer.model does not do this: `spelt` in the "
        "program does."
    )


def _normalization(tokenizer: Tokenizer) -> str:
    """The tokenizer's rule; none, where there are no rules."""
    rule: str = getattr(tokenizer, "normalization", "none")
    return rule
