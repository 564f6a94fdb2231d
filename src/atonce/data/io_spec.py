"""The two ends of a model: what it reads (tokens or images) and what it writes (tokens or labels)."""

import os
from dataclasses import dataclass
from pathlib import Path

from atonce import stored
from atonce.data.images import ImageShape
from atonce.data.labels import Labels
from atonce.data.tokenizer import Tokenizer

_TOKENIZER, _IMAGE, _LABELS = "tokenizer.model", "image.json", "labels.json"
FILES = (_TOKENIZER, _IMAGE, _LABELS)
"""Those that there may be; an end that is text on both sides is one file."""


@dataclass(frozen=True)
class IOSpec:
    """What stands between the world and a model's numbers. Two ends that are text share a tokenizer."""

    source: Tokenizer | ImageShape
    target: Tokenizer | Labels

    @property
    def tokenizer(self) -> Tokenizer:
        """That of the end which is text: of the target, or else of the source.

        Raises TypeError where neither is.
        """
        for end in (self.target, self.source):
            if isinstance(end, Tokenizer):
                return end
        raise TypeError("neither end of this model is text")

    def save(self, folder: Path) -> None:
        """Write each into a file of its own. Raises DiskError."""
        if not (isinstance(self.source, ImageShape) and isinstance(self.target, Labels)):
            self.tokenizer.save(folder / _TOKENIZER)
        if isinstance(self.source, ImageShape):
            self.source.save(folder / _IMAGE)
        if isinstance(self.target, Labels):
            self.target.save(folder / _LABELS)

    @classmethod
    def open(cls, folder: Path) -> "IOSpec":
        """What `save` wrote. Raises RunError if a file is missing or damaged."""
        image = ImageShape.open(folder / _IMAGE) if _is_there(folder, _IMAGE) else None
        labels = Labels.open(folder / _LABELS) if _is_there(folder, _LABELS) else None
        if image is not None and labels is not None:
            return cls(image, labels)
        tokenizer = Tokenizer.open(folder / _TOKENIZER)
        return cls(image or tokenizer, labels or tokenizer)


def _is_there(folder: Path, name: str) -> bool:
    """Whether there is such a file, or was one."""
    return stored.is_wanted(folder, name) or os.path.lexists(folder / name)
