import torch

from atonce.explain.record import AttentionRecord, LayerAttention
from atonce.explain.texts.alignment import pharaoh, word_links
from atonce.explain.texts.translation import Side, TranslationAttention
from atonce.explain.texts.words import END_OF_SENTENCE


def test_each_output_word_is_linked_to_what_it_looked_at_most() -> None:
    source = Side("ab c", ("a", "b", "c", END_OF_SENTENCE), ("ab", "c", END_OF_SENTENCE), (0, 0, 1, 2))
    target = Side("x y z", ("x", "y", "z", END_OF_SENTENCE), ("x", "y", "z", END_OF_SENTENCE), (0, 1, 2, 3))
    weights = torch.tensor(
        [
            [0.3, 0.3, 0.4, 0.0],  # pieces of a word count together
            [0.1, 0.1, 0.7, 0.1],
            [0.1, 0.1, 0.1, 0.7],  # the end is no word
            [0.9, 0.0, 0.1, 0.0],  # and has no link
        ]
    )
    record = AttentionRecord()
    record._layers["a"] = LayerAttention("a", "cross", weights[None, None])
    links = word_links(TranslationAttention(source, target, record))
    assert links == ((0, 0), (1, 1))
    assert pharaoh(links) == "0-0 1-1"
    assert pharaoh(()) == ""
