import numpy as np
import torch

from atonce.data.tokenizer import Tokenizer
from atonce.explain.contexts.states import layer_names, layer_states, word_vectors
from atonce.explain.contexts.uses import uses_of
from atonce.models.config import ModelConfig
from zoo import SOURCES, config_of, every_encoder, model_of, padded

SENTENCES = ["3 mai 2001", "am mai", "mai", "der 4. mai ist ein Tag"]


@every_encoder
@torch.inference_mode()
def test_states_are_those_of_the_encoder_and_no_hook_stays(config: ModelConfig) -> None:
    model = model_of(config)
    source, mask = padded(SOURCES)
    states = layer_states(model, source, mask)
    assert len(states) == len(layer_names(model))
    torch.testing.assert_close(states[0], model.source.read(source, mask)[0])
    norm = getattr(model.encoder, "final_norm", torch.nn.Identity())
    memory = model.encode(source, mask)
    torch.testing.assert_close(norm(states[-1])[mask], memory.states[mask])
    assert not any(module._forward_hooks for module in model.modules())


@every_encoder
@torch.inference_mode()
def test_a_vector_is_the_mean_of_the_words_pieces_whatever_stands_beside_in_the_batch(
    config: ModelConfig, dates_tokenizer: Tokenizer
) -> None:
    model = model_of(config, vocab=dates_tokenizer.size)
    uses = uses_of("mai", SENTENCES, dates_tokenizer, longest=99, most=99)
    vectors = word_vectors(model, uses)
    for number, use in enumerate(uses):
        alone = layer_states(model, *padded([use.ids]))
        for found, states in zip(vectors.values(), alone, strict=True):
            expected = states[0, use.first : use.last].mean(0).numpy()
            np.testing.assert_allclose(found[number], expected, rtol=1e-9, atol=1e-9)


def test_dropout_is_off_and_training_goes_on_as_before(dates_tokenizer: Tokenizer) -> None:
    model = model_of(config_of("pre", "gru_none"), vocab=dates_tokenizer.size)
    uses = uses_of("mai", SENTENCES, dates_tokenizer, longest=99, most=99)
    before = word_vectors(model, uses)
    again = word_vectors(model.train(), uses)
    assert model.training
    for name, vectors in before.items():
        np.testing.assert_array_equal(again[name], vectors)
