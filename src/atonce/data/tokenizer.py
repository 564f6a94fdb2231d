"""Text to tokens and back, without loss: sentencepiece, with bytes for whatever no token covers."""

import codecs
import io
import os
import random
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, islice
from math import exp, floor, inf, isfinite, log
from pathlib import Path
from typing import Any

import sentencepiece

from atonce import stored
from atonce.data.config import Normalization, VocabularyConfig
from atonce.data.normalization import normalized
from atonce.disk import replacing
from atonce.errors import DataError, RunError, damaged, reason

PAD, UNK, BOS, EOS = 0, 1, 2, 3
MOST_LINES = 1_000_000
"""Lines that tokens are learned from; of more, this many are drawn."""
MOST_CHARACTERS = 4_000
"""Of each line. Longer ones are cut, where sentencepiece would silently leave them out."""

_SPACE = "\u2581"  # how sentencepiece writes a space inside a token
_SPACE_BYTES = _SPACE.encode()
_WORTH_A_BATCH = 10  # lines: to hand over a list takes as long as to encode some
_WORTH_THREADS = 100  # lines: to start threads takes as long as to encode some dozens
_KINDS = {"bpe": "bpe", "unigram": "unigram", "words": "word", "characters": "char"}
_META_PIECES = 4 + 256
_RARE = 0.0005  # share of the text whose characters are too rare to learn; bytes spell them
_STAND_INS = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # "noncharacters": Unicode gives them no meaning
# The trainer leaves out lines with NUL, tab or U+2585, which it uses inside. The rest: see `_encodable`.
_UNTRAINABLE = re.compile(f"[\0\t\u2585\n\r{_SPACE}{''.join(_STAND_INS)}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_RULES: tuple[Normalization, ...] = ("spaces", "nfc", "nfkc")


class Tokenizer:
    """Tokens for both sides of a corpus. `decode(encode(text)) == normalized(text)`, whatever a text holds.

    Ids 0 to 3 are `pad`, `unk` (never produced), `bos` and `eos`. `encode` adds none of them.
    """

    pad, unk, bos, eos = PAD, UNK, BOS, EOS

    def __init__(self, model: bytes) -> None:
        """Use a serialised sentencepiece model. Raises ValueError if it is not one of ours."""
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        self._model = model
        self.normalization: Normalization = _rule_of(model)
        """How texts are spelt before they are cut; part of the model, and of its file."""
        self._tokens: list[str] = [self._processor.id_to_piece(id) for id in range(self.size)]
        self._bytes = [self._spelt(id) for id in range(self.size)]
        self._byte_ids = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in range(256)]
        specials = [getattr(self._processor, f"{name}_id")() for name in ("pad", "unk", "bos", "eos")]
        if specials != [PAD, UNK, BOS, EOS] or not all(map(self._processor.is_byte, self._byte_ids)):
            raise ValueError("its special tokens or its bytes are not where atonce puts them")

    @classmethod
    def train(cls, lines: Iterable[str], config: VocabularyConfig) -> "Tokenizer":
        """Learn tokens from `lines`, which are streamed. The same lines and config give the same tokens.

        A small corpus gets fewer tokens than `config.size`. Raises DataError if there is no text at all.
        """
        drawn = _sample((line[:MOST_CHARACTERS] for line in lines), MOST_LINES)
        drawn = normalized(drawn, config.normalization)
        drawn = [line for line in (_UNTRAINABLE.sub(" ", line) for line in drawn) if line.strip()]
        if not drawn:
            raise DataError(
                "there is no text to learn a vocabulary from",
                why="every line is empty",
                fix="check which file, column or key the recipe names",
            )
        rare = _rare(drawn, config)
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line.translate(rare) for line in _drained(drawn)),
            model_writer=model,
            **_trainer_options(config),
        )
        return Tokenizer(model.getvalue() + _mark(config.normalization))

    @classmethod
    def open(cls, path: Path) -> "Tokenizer":
        """Read what `save` wrote. Raises RunError if it is missing or damaged."""
        try:
            model = stored.read_bytes(path)
            if not stored.check(path.parent, path.name):
                _check_model(model)
            return Tokenizer(model)
        except RunError as error:
            why = error.why
        except OSError as error:
            why = reason(error)
        except (ValueError, OverflowError) as error:
            why = f"it is not a sentencepiece model of atonce: {error}"
        raise damaged(path, why)

    def save(self, path: Path) -> None:
        """Write the model, as sentencepiece itself reads it. Appears whole or not at all: DiskError."""
        with replacing(path) as unfinished:
            unfinished.write_bytes(self._model)

    @property
    def size(self) -> int:
        """How many ids there are, special ones and bytes included."""
        return int(self._processor.get_piece_size())

    @cached_property
    def words_stand_alone(self) -> bool:
        """Whether a text with single spaces between its words has the ids of one word after the other.

        So it is with BPE, known by scores that are ranks, where no token reaches over a space: no merge waits
        for another word's. With unigram tokens, scores are added up over the text and rounded on the way.
        """
        # BPE scores a token by minus the rank of its merge; unigram has log-probabilities.
        normal = [id for id in range(_META_PIECES, self.size)]
        ranks = [-self._processor.get_score(id) for id in normal]
        joined = any(_SPACE in self._tokens[id].lstrip(_SPACE) for id in normal)
        return ranks == list(range(len(ranks))) and not joined

    def normalized(self, text: str) -> str:
        """The text as it is read: in the one spelling that this tokenizer has for it."""
        return self.normalized_lines([text])[0]

    def normalized_lines(self, lines: Sequence[str]) -> list[str]:
        """Each line as it is read."""
        return normalized(lines, self.normalization)

    def encode(self, text: str) -> list[int]:
        """The ids of the text's tokens. No `bos`, no `eos`."""
        return self.encode_normalized_text(self.normalized(text))

    def encode_lines(self, lines: list[str]) -> list[list[int]]:
        """The ids of each line, with all processors at work where there are many."""
        return self.encode_normalized(self.normalized_lines(lines))

    def encode_normalized(self, lines: list[str]) -> list[list[int]]:
        """As `encode_lines`, of lines that are spelt as they are read."""
        if len(lines) < _WORTH_A_BATCH:
            return [self.encode_normalized_text(line) for line in lines]
        texts, stand_ins = zip(*map(_encodable, lines), strict=True)
        threads = (os.cpu_count() or 1) if len(lines) >= _WORTH_THREADS else 1
        encoded: list[list[int]] = self._processor.encode(list(texts), num_threads=threads)
        return [self._exact(ids, stand_in) for ids, stand_in in zip(encoded, stand_ins, strict=True)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text that the ids spell. Special ones are passed over; broken characters become U+FFFD."""
        return self._raw(ids).decode("utf-8", "replace").removeprefix(" ")

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """How each token is written: U+2581 for a space, "<0xE2>" for a byte."""
        return [self._tokens[id] for id in ids]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """For each id of `encode(text)`, from which character of `normalized(text)` to which it reaches.

        The spans follow one another without a gap. A space belongs to the token that begins with it, and
        bytes of one character all have its span. What stands for the beginning of the text is (0, 0).
        """
        return self.spans(self.encode(text))

    def spans(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """As `token_spans`, of `decode(ids)`, whatever the ids: a model need not write those of `encode`.

        Special ids stand for no character.
        """
        raw = self._raw(ids)
        # Every text is encoded with a space before it, so that a word is the same token at the beginning.
        before = int(raw.startswith(b" "))
        characters = [max(character - before, -1) for character in _character_of_each_byte(raw)]
        spans: list[tuple[int, int]] = []
        start = 0
        for id in ids:
            end = start + len(self._bytes[id])
            begin = max(characters[start], 0) if end > start else (spans[-1][1] if spans else 0)
            spans.append((begin, characters[end - 1] + 1 if end > start else begin))
            start = end
        return spans

    def encode_normalized_text(self, text: str) -> list[int]:
        """As `encode`, of a text that is spelt as it is read."""
        whole, stand_in = _encodable(text)
        return self._exact(self._processor.encode(whole), stand_in)

    def _spelt(self, id: int) -> bytes:
        """The bytes that an id adds to a text."""
        token = self._tokens[id]
        if self._processor.is_byte(id):
            return bytes([int(token[1:-1], 16)])
        if self._processor.is_control(id) or self._processor.is_unknown(id):
            return b""
        return token.replace(_SPACE, " ").encode()

    def _raw(self, ids: Sequence[int]) -> bytes:
        return b"".join([self._bytes[id] for id in ids])

    def _exact(self, ids: list[int], stand_in: str) -> list[int]:
        """Put right where bytes spell a space, and where a stand-in was encoded."""
        if self._byte_ids[_SPACE_BYTES[0]] in ids:
            # sentencepiece spells an unknown word together with the space before it, as a U+2581 of bytes
            ids = self._respelt(ids, _SPACE_BYTES, b" ")
        return self._respelt(ids, stand_in.encode(), _SPACE_BYTES) if stand_in else ids

    def _respelt(self, ids: list[int], old: bytes, new: bytes) -> list[int]:
        """Replace each run of byte tokens that spells `old` by one that spells `new`."""
        run, replacement = [[self._byte_ids[byte] for byte in bytes_] for bytes_ in (old, new)]
        respelt, index = [], 0
        while index < len(ids):
            found = ids[index] == run[0] and ids[index : index + len(run)] == run
            respelt += replacement if found else ids[index : index + 1]
            index += len(run) if found else 1
        return respelt


def _mark(rule: Normalization) -> bytes:
    """What is put behind a sentencepiece model to say how texts are spelt: the name of its `normalizer_spec`.

    A model is a protocol buffer, and what stands behind one is merged into it. sentencepiece passes the name
    over when it encodes, so a program that uses the file by itself has to spell texts that way beforehand.
    """
    if rule == "none":
        return b""  # as all models were before there were rules
    name = f"atonce-{rule}".encode()
    return bytes([0x1A, len(name) + 2, 0x0A, len(name)]) + name


def _check_model(model: bytes) -> None:
    """Raise ValueError for what sentencepiece would read, and should not: it does not check what it is given.

    Of a model of ours, which has no table of characters in place of others: tokens as they must be (special
    ones, bytes, and then texts that differ), and specifications.
    """
    tokens: list[tuple[str, int]] = []
    for field, value in _fields(model):
        if field == 1:
            token = dict(_fields(_text(value)))
            score = struct.unpack("<f", token.get(2, b"\0\0\0\0"))[0] if token.keys() <= {1, 2, 3} else inf
            kind = token.get(3, 1)
            if not isfinite(score) or not isinstance(kind, int):
                raise ValueError(f"its token {len(tokens)} is none")
            tokens.append((_text(token.get(1, b"")).decode("utf-8"), kind))
        elif field in (3, 5):
            if any(field in (2, 6) and value for field, value in _fields(_text(value))):
                raise ValueError("it has a table of characters in place of others")
        elif field == 2:
            dict(_fields(_text(value)))
        else:
            raise ValueError(f"it has a field {field}, which no model of ours has")
    kinds = [kind for _, kind in tokens]
    wanted = [
        _CONTROL,
        _UNKNOWN,
        _CONTROL,
        _CONTROL,
        *[_BYTE] * 256,
        *[_NORMAL] * (len(tokens) - _META_PIECES),
    ]
    names = {name for name, _ in tokens}
    if kinds != wanted or len(names) < len(tokens) or "" in names:
        raise ValueError("its tokens are not what atonce makes them")


_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # kinds of tokens


def _text(value: "int | bytes") -> bytes:
    if isinstance(value, int):
        raise ValueError("it has a number where something else belongs")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer with their numbers: whole numbers, or bytes. Raises ValueError."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while shift < 70 and at < len(message):
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value
        raise ValueError("it is cut off")

    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
            continue
        length = {1: 8, 5: 4}.get(tag & 7) or (number() if tag & 7 == 2 else -1)
        if not 0 <= length <= len(message) - at:
            raise ValueError("it is cut off" if length >= 0 else "it is no protocol buffer")
        at += length
        yield tag >> 3, message[at - length : at]


def _rule_of(model: bytes) -> Normalization:
    return next((rule for rule in _RULES if model.endswith(_mark(rule))), "none")


def _whole(text: str) -> str:
    """Halves of characters (lone surrogates, which no UTF-8 can spell) become U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _character_of_each_byte(raw: bytes) -> list[int]:
    """Which character each byte belongs to, where broken ones are decoded as U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    places, count = [], 0
    for byte in raw:
        count += len(decoder.decode(bytes([byte])))
        is_unfinished = decoder.getstate()[0] != b""
        places.append(count if is_unfinished else count - 1)
    return places


def _encodable(text: str) -> tuple[str, str]:
    """The text with a stand-in for U+2581, which sentencepiece would take for a space; and the stand-in.

    No vocabulary holds a stand-in, so bytes will spell it, and `_exact` puts others in their place. Without
    U+2581 the stand-in is "".
    """
    text = _whole(text)
    if _SPACE not in text:
        return text, ""
    stand_in = next((character for character in _STAND_INS if character not in text), "\ufffd")
    return text.replace(_SPACE, stand_in), stand_in


def _sample(lines: Iterator[str], most: int) -> list[str]:
    """At most this many of the lines, each as likely as any other; always the same ones.

    Li's Algorithm L (1994): draws how many lines to skip, not a number for each of them.
    """
    kept = list(islice(lines, most))
    if len(kept) < most:
        return kept
    # Always the same lines, whatever the seed of the training: a vocabulary depends on its text alone.
    draw = random.Random(0)
    weight = 1.0
    while True:
        # 1 - random(): never 0, of which there is no logarithm.
        weight *= exp(log(1 - draw.random()) / most)
        skipped = floor(log(1 - draw.random()) / log(1 - weight))
        line = next(islice(lines, skipped, None), None)
        if line is None:
            return kept
        kept[draw.randrange(most)] = line


def _drained(lines: list[str]) -> Iterator[str]:
    """The lines, of which none is kept: the trainer makes copies, and twice a million lines are 300 MB."""
    lines.reverse()
    while lines:
        yield lines.pop()


def _trainer_options(config: VocabularyConfig) -> dict[str, Any]:
    return {
        "model_type": _KINDS[config.kind],
        "vocab_size": config.size,
        # A small text has fewer tokens than were asked for, and that is no fault.
        "hard_vocab_limit": False,
        # What is too rare was taken out before (`_rare`).
        "character_coverage": 1.0,
        "split_digits": config.split_digits,
        "byte_fallback": True,
        # Texts come in their one spelling (`normalization`), here as wherever the model is used.
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "max_sentence_length": 4 * MOST_CHARACTERS + 4,  # bytes
        "num_threads": 4,  # fixed: sums of floats depend on how the work is divided
        "minloglevel": 3,
        **{"pad_id": PAD, "unk_id": UNK, "bos_id": BOS, "eos_id": EOS},
    }


def _rare(lines: list[str], config: VocabularyConfig) -> dict[int, str]:
    """A table for str.translate that turns characters which get no token of their own into spaces.

    These are the rarest `_RARE` of all characters in the text, and whatever would fill more than half of
    the vocabulary: the trainer gives up on a vocabulary that does not hold all characters it is shown.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line)
    room = (config.size - _META_PIECES) // (1 if config.kind == "characters" else 2) - 1  # 1: the space
    common = counts.most_common()
    covered = accumulate(count for _, count in common)
    enough = sum(share < (1 - _RARE) * counts.total() for share in covered) + 1
    return dict.fromkeys((ord(character) for character, _ in common[min(room, enough) :]), " ")
