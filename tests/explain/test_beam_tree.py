import json
from collections import Counter

import pytest

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.hypothesis import length_penalty
from atonce.decoding.translation import one_line
from atonce.decoding.translator import Translator
from atonce.errors import RecipeError
from atonce.explain.beam_tree import BeamNode, BeamTree, beam_tree
from atonce.explain.scoring import confidence
from atonce.explain.words import END_OF_SENTENCE
from atonce.models.config import ModelConfig
from zoo import config_of, every_part, translator_of

TEXT = "3. Mai 1999"
WIDTHS = [1, 3]


def tokens_of(tree: BeamTree, node: BeamNode, prefix: tuple[int, ...] = ()) -> tuple[int, ...]:
    """From the root to the node."""
    if node.parent is None:
        return prefix
    assert node.token_id is not None
    return (*tokens_of(tree, tree.nodes[node.parent], prefix), node.token_id)


def holds_its_laws(tree: BeamTree, translator: Translator, prefix: tuple[int, ...] = ()) -> None:
    root, *others = tree.nodes
    assert [node.id for node in tree.nodes] == list(range(len(tree.nodes)))
    assert (root.parent, root.step, root.kept, root.ended) == (None, len(prefix), True, False)
    assert root.total == root.log_probability
    for node in others:
        assert node.parent is not None
        parent = tree.nodes[node.parent]
        assert node.step == parent.step + 1
        assert parent.kept
        assert not parent.ended
        assert node.log_probability <= 1e-9
        assert node.total == pytest.approx(parent.total + node.log_probability)
        assert node.score == pytest.approx(node.total / length_penalty(node.step, tree.alpha))
        assert (node.token == END_OF_SENTENCE) == (node.token_id == translator.tokenizer.eos)
        assert node.text == one_line(translator.tokenizer, tokens_of(tree, node, prefix))

    go_on = Counter(node.step for node in others if node.kept and not node.ended)
    assert max(go_on.values(), default=0) <= tree.width
    for step in {node.step for node in others}:
        looked_at = [node for node in others if node.step == step]
        assert [node.rank for node in looked_at] == list(range(1, len(looked_at) + 1))
        assert len(looked_at) == 2 * tree.width
        totals = [node.total for node in looked_at]
        assert totals == sorted(totals, reverse=True)


@every_part
@pytest.mark.parametrize("width", WIDTHS)
def test_the_outputs_in_the_tree_are_those_that_search_finds(
    dates_tokenizer: Tokenizer, config: ModelConfig, width: int
) -> None:
    translator = translator_of(dates_tokenizer, config, max_length_ratio=0.1)
    tree = beam_tree(translator, TEXT, beam=width)
    holds_its_laws(tree, translator)
    found = translator.hypotheses(TEXT, beam=width)
    assert [tokens_of(tree, node) for node in tree.outputs] == [one.tokens for one in found]
    assert [node.score for node in tree.outputs] == pytest.approx([one.score for one in found])
    assert [node.total for node in tree.outputs] == pytest.approx([one.log_probability for one in found])
    assert {node.id for node in tree.nodes if node.kept and node.ended} == {node.id for node in tree.outputs}


@pytest.fixture(scope="module")
def translator(dates_tokenizer: Tokenizer) -> Translator:
    config = config_of("pre", "pre")
    return translator_of(dates_tokenizer, config, beam=3, longest_source=40, max_length_ratio=0.1)


def test_each_node_has_the_probability_of_forced_decoding(translator: Translator) -> None:
    tree = beam_tree(translator, TEXT)
    for node in tree.nodes[1:]:
        found = confidence(translator, TEXT, tokens_of(tree, node))
        assert node.total == pytest.approx(found.log_probability, rel=1e-9)
        assert node.log_probability == pytest.approx(found.log_probabilities[-1], rel=1e-9)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_forced_is_the_root(translator: Translator, width: int) -> None:
    prefix = tuple(translator.tokenizer.encode("1999-0"))
    tree = beam_tree(translator, TEXT, beam=width, prefix="1999-0")
    holds_its_laws(tree, translator, prefix)
    assert tree.nodes[0].text == tree.nodes[0].token == "1999-0"
    assert tree.nodes[0].total == pytest.approx(confidence(translator, TEXT, prefix).log_probability)
    found = translator.hypotheses(TEXT, beam=width, prefix=prefix)
    assert [tokens_of(tree, node, prefix) for node in tree.outputs] == [one.tokens for one in found]


def test_a_beam_of_one_is_greedy(translator: Translator) -> None:
    tree = beam_tree(translator, TEXT, beam=1)
    kept = [node for node in tree.nodes[1:] if node.kept]
    assert [node.rank for node in kept] == [1] * len(kept)
    assert kept[-1].text == translator.translate([TEXT], beam=1)[0].text


def test_source_tokens_can_be_left_out(translator: Translator) -> None:
    tree = beam_tree(translator, TEXT, without=[0])
    found = translator.hypotheses(TEXT, without=[0])
    assert [node.score for node in tree.outputs] == pytest.approx([one.score for one in found])
    assert tree.nodes != beam_tree(translator, TEXT).nodes


def test_it_can_be_sent(translator: Translator) -> None:
    tree = beam_tree(translator, TEXT)
    sent = json.loads(json.dumps(tree.to_dict(), allow_nan=False))
    assert sent == tree.to_dict()
    assert (sent["source"], sent["width"], sent["alpha"]) == (TEXT, 3, 1.0)
    assert len(sent["nodes"]) == len(tree.nodes)
    assert sent["nodes"][0]["parent"] is None
    assert set(sent["nodes"][1]) == set(BeamNode.__dataclass_fields__)


def test_a_text_that_is_read_in_parts_has_no_one_tree(translator: Translator) -> None:
    with pytest.raises(RecipeError, match="too long to be read at once"):
        beam_tree(translator, TEXT * 9)
