"""Which source word each output word comes from, as attention has it."""

import numpy as np

from atonce.explain.texts.translation import TranslationAttention
from atonce.explain.texts.words import merge_pieces

Links = tuple[tuple[int, int], ...]
"""(source word, output word), counted from 0, in the order of the output."""


def word_links(attention: TranslationAttention, layer: str | None = None) -> Links:
    """The source word that each output word looked at most, by the mean over heads.

    An output word that looked most at the end of the sentence has no link, and ends are not linked. `layer`:
    see `TranslationAttention.choose`. Attention is a hint of where a word comes from, no proof of it.
    """
    weights = attention.choose(layer).weights[0].float().mean(0).cpu().numpy()
    merged = merge_pieces(weights, attention.target.word_of_piece, attention.source.word_of_piece)
    strongest = np.argmax(merged, axis=1)
    end = len(attention.source.words) - 1
    return tuple((int(source), target) for target, source in enumerate(strongest[:-1]) if source != end)


def pharaoh(links: Links) -> str:
    """Links as "0-0 1-2", the format of Pharaoh and of the tools after it."""
    return " ".join(f"{source}-{target}" for source, target in links)
