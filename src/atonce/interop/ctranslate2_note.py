"""What is put beside an exported model: how it is used from Python, and what is not as in atonce."""

from atonce.data.tokenizer import Tokenizer
from atonce.interop.ctranslate2_model import positions
from atonce.interop.ctranslate2_trial import Agreement, Pairs
from atonce.runs.recipe import Recipe

_TYPICAL_LENGTH = 20.0
"""Tokens of an output, where no validation data tell."""

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
    """The tokens of a text, as in training."""
    text = re.sub("[\\ud800-\\udfff]", "\\ufffd", spelt(text))
    # sentencepiece would take U+2581 for a space: something else stands in for it
    stand_in = next(one for one in map(chr, range(0xFDD0, 0xFDF0)) if one not in text)
    row = "\\n".join(["", *cutter.encode(text.replace("\\u2581", stand_in), out_type=str), ""])
    row = re.sub("(?<=\\n)<0xE2>\\n<0x96>\\n<0x81>(?=\\n)", "<0x20>", row)  # a space before an unknown word
    spelt_out = "\\n".join(map("<0x{{:02X}}>".format, stand_in.encode()))
    row = re.sub("(?<=\\n)" + spelt_out + "(?=\\n)", "<0xE2>\\n<0x96>\\n<0x81>", row)
    return row.split("\\n")[1:-1]{cut}


def decode(tokens):
    """The text of an output, in one line."""
    is_byte = re.compile("<0x[0-9A-F]{{2}}>").fullmatch
    spelt_out = [
        bytes([int(token[3:5], 16)]) if is_byte(token) else token.replace("\\u2581", " ").encode()
        for token in tokens
    ]
    text = b"".join(spelt_out).decode("utf-8", "replace").removeprefix(" ")
    return " ".join(text.splitlines())


{parts}

def translate(texts):
    """For each text the best output and its score, as atonce has it; a blank text stays blank."""
    parts_of = [parts(spelt(text)) for text in texts]
    found = iter(search([encode(part) for of_text in parts_of for part in of_text]))
    joined = []
    for of_text in parts_of:
        outputs = [next(found) for part in of_text]
        score = sum(score for text, score in outputs) / max(len(outputs), 1)
        joined.append((" ".join(text for text, score in outputs), score))
    return joined


def search(sources):
    """The best output and its score for the tokens of each source; those of one length go together."""
    rows_of = {{}}
    for row, source in enumerate(sources):
        rows_of.setdefault(int(MAX_LENGTH_RATIO * len(source)) + 10, []).append(row)
    found = {{}}
    for longest, rows in rows_of.items():
        results = model.translate_batch(
            [sources[row] for row in rows], max_batch_size=2048, batch_type="tokens",
            beam_size=BEAM, num_hypotheses=BEAM, length_penalty=EXPONENT,
            min_decoding_length=0, max_decoding_length=longest, max_input_length=0,
            disable_unk=True, suppress_sequences=[["{pad}"], ["{bos}"]],
            return_scores=True, return_end_token=True,
        )
        found.update(zip(rows, map(best, results)))
    return [found[row] for row in range(len(sources))]


def best(result):
    """The best of the outputs that CTranslate2 found, by Wu's formula, and its score."""
    ranked = []
    for tokens, score in zip(result.hypotheses, result.scores):
        wu = ((5 + len(tokens)) / 6) ** ALPHA
        ranked.append((score * len(tokens) ** EXPONENT / wu, decode(p for p in tokens if p != "{eos}")))
    score, text = max(ranked, key=lambda one: one[0])
    return text, score


if __name__ == "__main__":
    for text, score in translate([{example!r}]):
        print(score, text)
'''

_WHOLE = '''\
def parts(text):
    """A text in parts that are read one by one: here it is one, of which `encode` cuts off the end."""
    return [text] if text.strip() else []
'''

_PARTS = '''\
BOUNDARIES = (
    "(?<=[.!?\\u2026])\\\\s+|(?<=[\\u3002\\uff01\\uff1f])",  # behind sentences,
    "(?<=[,;:])\\\\s+|(?<=[\\u3001\\uff0c\\uff1b\\uff1a])", "\\\\s+", "",  # clauses, words, anywhere
)


def parts(text):
    """A text in parts of at most {longest} tokens each, the end included, cut where it hurts least."""
    if not text.strip():
        return []
    if len(encode(text)) < {longest} or len(text.strip()) == 1:
        return [text]
    text = text.strip()
    for boundary in BOUNDARIES:
        places = [cut.end() for cut in re.finditer(boundary, text) if 0 < cut.end() < len(text)]
        if places:
            break
    place = min(places, key=lambda place: abs(2 * place - len(text)))
    return parts(text[:place].rstrip()) + parts(text[place:].lstrip())
'''


def note(
    name: str, recipe: Recipe, tokenizer: Tokenizer, pairs: Pairs, exact: Agreement, *,
    rounded: Agreement | None = None, quantization: str | None = None,
) -> str:  # fmt: skip
    """The README.md of an export. `exact`, `rounded`: what was found in comparing it with the run."""
    length = typical_length(pairs)
    stored = quantization or "float32"
    lines = [
        f"# {name}, for CTranslate2",
        "",
        f"Written by atonce, its weights as {stored}. Needs `pip install ctranslate2 sentencepiece`.",
        "",
        *_seen(pairs, exact, quantization, rounded),
        "",
        "## From Python",
        "With what atonce does around the model. Run it in this folder, or set `FOLDER`.",
        "",
        "```python",
        program(recipe, tokenizer, length).rstrip("\n"),
        "```",
        "",
        "## What is not as in atonce",
        "What CTranslate2 and sentencepiece do by themselves; the program above makes up for what it can.",
        "",
        *(f"- {line}" for line in differences(recipe, tokenizer, length)),
    ]
    return "\n".join(lines) + "\n"


def typical_length(pairs: Pairs) -> float:
    """Tokens of an output, `eos` included: the mean of the validation targets among `pairs`."""
    # Random targets have any length; only those of people are typical.
    own = pairs.targets[: pairs.own]
    return sum(len(target) + 1 for target in own) / len(own) if own else _TYPICAL_LENGTH


def exponent(alpha: float, length: float) -> float:
    """The p for which `length ** p` grows as Wu's ((5 + length) / 6) ** alpha does, at this length.

    Which output is the best depends on no more than the ratio of what two of them are divided by, and near
    this length those agree: the slopes of the logarithms are alpha / (5 + length) and p / length.
    """
    # Rounded as it is printed, so that note and program say the same number.
    return round(alpha * length / (5 + length), 3)


def program(recipe: Recipe, tokenizer: Tokenizer, length: float) -> str:
    """Python that uses the export as atonce would, without atonce. `length`: of a typical output."""
    decoding, data = recipe.decoding, recipe.data
    settings = [
        f"BEAM = {decoding.beam}  # this and the next two are the recipe's",
        f"ALPHA = {decoding.length_penalty!r}",
        f"MAX_LENGTH_RATIO = {decoding.max_length_ratio!r}",
        f"EXPONENT = {exponent(decoding.length_penalty, length)!r}  # of the length, in place of Wu's "
        "formula",
    ]
    # Of an article the beginning is read; a long text to translate is cut into parts, as atonce does itself.
    is_whole = data.task == "summarization"
    pad, bos, eos = tokenizer.tokens([tokenizer.pad, tokenizer.bos, tokenizer.eos])
    return _PROGRAM.format(
        settings="\n".join(settings),
        spelling=_SPELLINGS[_normalization(tokenizer)],
        cut=f"[:{data.max_length}]" if is_whole else "",
        parts=_WHOLE if is_whole else _PARTS.format(longest=data.max_length),
        pad=pad, bos=bos, eos=eos, example="3 March 2021" if data.kind == "dates" else "One text a line.",
    )  # fmt: skip


def differences(recipe: Recipe, tokenizer: Tokenizer, length: float) -> list[str]:
    """What is otherwise than in atonce with the same model, a line each. `length`: of a typical output."""
    return [
        *_of_search(recipe, length),
        *_of_lengths(recipe),
        *_of_texts(_normalization(tokenizer), recipe.vocabulary.kind),
    ]


def _of_search(recipe: Recipe, length: float) -> list[str]:
    alpha, beam = recipe.decoding.length_penalty, recipe.decoding.beam
    return [
        "**Scores.** atonce divides the log-probability of an output of n tokens, the end included, by ((5 "
        f"+ n) / 6) ** {alpha:g} (Wu 2016); CTranslate2 by n ** `length_penalty`, which is 1 unless given. "
        f"No exponent is the same for all n: {exponent(alpha, length):g} is nearest at {length:.0f} tokens, "
        "a typical length here. The program ranks the outputs that CTranslate2 has found, and scores them, "
        "by Wu's formula.",
        f"**Search.** `beam_size` is 2 unless given; the recipe has {beam}. CTranslate2 stops by a rule of "
        "its own: where outputs are almost as likely as one another, another may be the best.",
        "**The first token.** `min_decoding_length` is 1 unless given: no output is empty, and the "
        "probability of the end is shared out among the other tokens, so that scores are higher. In "
        "atonce, and in the program, 0.",
        "**Tokens that are never written.** atonce writes no `<pad>`, `<unk>` or `<s>`, and their "
        "probability stays theirs. CTranslate2 writes them unless it is told (`disable_unk`, "
        "`suppress_sequences`), as in the program, and then shares out their probability: scores are a "
        "little higher.",
    ]


def _of_lengths(recipe: Recipe) -> list[str]:
    decoding, longest = recipe.decoding, recipe.data.max_length
    sides = (recipe.model.encoder, recipe.model.decoder)
    # Rotary positions are computed, and have no end.
    table = any(getattr(side, "positions", None) != "rotary" for side in sides)
    if recipe.data.task == "summarization":
        long = f"atonce reads the first {longest} tokens of a text, as the program does."
    else:
        long = (
            f"atonce translates a text of {longest} tokens or more in parts, cut at ends of sentences, and "
            "joins them, as the program does: the model was trained on none as long."
        )
    return [
        f"**Long outputs.** atonce ends one after {decoding.max_length_ratio:g} tokens for each of its "
        "source, and 10 more. `max_decoding_length` is one number for all texts of a call, 256 unless "
        "given; the program makes a call for each length of sources.",
        "**`max_input_length`** is 1024 unless given: what comes behind is cut off in silence, from "
        "sources, and in `score_batch` from targets too, which then have fewer log-probabilities. In the "
        "program it is 0, no limit."
        + (
            f" There are {positions(recipe)} positions; beyond them CTranslate2 raises an error."
            if table
            else ""
        ),
        f"**Long texts.** {long}",
    ]


def _of_texts(rule: str, kind: str) -> list[str]:
    unknown = (
        "**Unknown words.** Where bytes spell a word, sentencepiece writes the space before it as the "
        "three bytes of U+2581. The model was trained with the byte 0x20 there, as the program has it."
    )
    forms = {"spaces": "", "nfc": ", in NFC", "nfkc": ", in NFKC"}
    spelling = (
        "The model was trained on texts with single spaces, none at the ends, without what has no "
        f"width{forms[rule]} (`vocabulary.normalization` is {rule}). sentencepiece does not spell them so "
        "by itself; `spelt` in the program does."
        if rule in forms
        else "Texts are read as they are: NFD is not NFC to the model, and two spaces are not one."
    )
    return [
        "**Blank lines.** atonce leaves a text of white space blank, as the program does. CTranslate2 does "
        "so where there are no tokens; white space has some, and is translated into something.",
        f"**Spelling.** {spelling}",
        "**U+2581** in a text is a space to sentencepiece. atonce, and the program, spell it in bytes.",
        *([unknown] if kind == "words" else []),
        "**Odd outputs.** Bytes that are no UTF-8 become U+FFFD, and line breaks become spaces, as in the "
        "program.",
    ]


def _seen(pairs: Pairs, exact: Agreement, quantization: str | None, rounded: Agreement | None) -> list[str]:
    """What was compared before this was written."""
    drawn = len(pairs.sources) - pairs.own
    asked = (
        f"{pairs.own} validation pairs and {drawn} of random tokens" if pairs.own else f"{drawn} random pairs"
    )
    compared = (
        f"Compared with the run on {asked}, as float32: log-probabilities of forced outputs, and of every "
        "token at each step of outputs written one token after the other, differ by at most "
        f"{exact.greatest:.1e} nats (1e-4 is allowed; of tokens less likely than e^-10, 1e-5 of it)."
    )
    if rounded is None:
        return [compared]
    return [
        compared,
        f"Then rounded to {quantization}: log-probabilities of forced outputs differ by {rounded.mean:.2g} "
        f"nats a token in the mean and {rounded.greatest:.2g} at most, on a CPU. A GPU may round products "
        "too.",
    ]


def _normalization(tokenizer: Tokenizer) -> str:
    """The tokenizer's rule; none, where there are no rules."""
    rule: str = getattr(tokenizer, "normalization", "none")
    return rule
