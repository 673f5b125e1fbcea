"""Sounds of any length, texts of any padding, rows with gaps: the answer depends on the content alone."""

import pytest
import torch

from gradatim.models.audio.log_mel_attention import log_mel_attention
from gradatim.models.audio.log_mel_net import MeanSubtraction, log_mel_net
from gradatim.models.audio.log_mel_recurrent import log_mel_recurrent
from gradatim.models.sequence.attention_pool import attention_pool
from gradatim.models.sequence.bag import bag_of_embeddings
from gradatim.models.sequence.recurrent import recurrent_classifier
from gradatim.models.sequence.transformer import transformer_encoder
from gradatim.models.tabular.mlp import mlp

SOUND_NETS = {
    "convolutional": lambda: log_mel_net(num_classes=3, width=8),
    "recurrent": lambda: log_mel_recurrent(num_classes=3, mels=20, channels=4, hidden=8),
    "attention": lambda: log_mel_attention(num_classes=3, mels=20, channels=4, width=8, heads=2),
}


@pytest.mark.parametrize("name", SOUND_NETS)
@pytest.mark.parametrize("frames", [1, 2, 3, 7, 8, 13, 31])
def test_a_sound_padded_with_anything_equals_the_sound_alone(name, frames):
    torch.manual_seed(0)
    network = SOUND_NETS[name]()
    for _ in range(5):
        network(torch.randn(4, 1, 20, 32) + 1)  # batch norms whose zero is not zero
    network.eval()
    sound = torch.randn(1, 20, frames)
    padded = torch.cat([sound, 100 * torch.rand(1, 20, 40 - frames)], dim=2)
    with torch.no_grad():
        alone = network(sound)
        torch.testing.assert_close(network(padded, torch.tensor([frames])), alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(network(sound[:, None], torch.tensor([frames])), alone, atol=1e-5, rtol=1e-4)


def test_what_a_microphone_adds_throughout_is_taken_away():
    sound, microphone = torch.rand(2, 1, 20, 30), torch.rand(2, 1, 20, 1)
    mask = torch.arange(30) < torch.tensor([30, 12])[:, None]
    level = MeanSubtraction(kept=0.0)
    expected = level(sound * mask[:, None, None], mask)
    torch.testing.assert_close(level(sound + microphone, mask), expected, atol=1e-5, rtol=0)
    assert not expected[1, :, :, 12:].any() and expected[1, :, :, :12].mean(2).abs().max() < 1e-5
    torch.testing.assert_close(MeanSubtraction(kept=1.0)(sound, None), sound)


@pytest.mark.parametrize("bands", [1, 3, 8, 40, 64, 128])
def test_any_number_of_bands_is_taken(bands):
    assert log_mel_net(num_classes=0, width=8)(torch.randn(2, 1, bands, 9)).shape == (2, 64)


@pytest.mark.parametrize("builder", [bag_of_embeddings, recurrent_classifier, attention_pool, transformer_encoder])
def test_a_text_padded_with_anything_equals_the_text_alone(builder):
    torch.manual_seed(0)
    network = builder(num_classes=3, vocabulary=30, width=8).eval()
    with torch.no_grad():
        network.embedding.weight[0] = 5.0  # even a padding vector that is not zero
        for length in (1, 2, 5):
            ids = torch.randint(1, 30, (1, length))
            padded = torch.cat([ids, torch.randint(0, 30, (1, 9 - length))], dim=1)
            torch.testing.assert_close(
                network(padded, torch.tensor([length])), network(ids, torch.tensor([length])), atol=1e-5, rtol=1e-4
            )
        empty = network(torch.zeros(1, 4, dtype=torch.long), torch.tensor([0]))
        assert empty.isfinite().all()
        int32 = network(ids.int(), torch.tensor([5]))
        torch.testing.assert_close(int32, network(ids, torch.tensor([5])))


@pytest.mark.parametrize("builder", [recurrent_classifier, attention_pool, transformer_encoder])
def test_order_matters_to_all_but_the_bag(builder):
    torch.manual_seed(0)
    ids, lengths = torch.tensor([[1, 2, 3, 4, 5], [1, 4, 3, 2, 5]]), torch.tensor([5, 5])
    one, other = builder(num_classes=4, vocabulary=9).eval()(ids, lengths)
    assert not torch.allclose(one, other, atol=1e-4)
    one, other = bag_of_embeddings(num_classes=4, vocabulary=9).eval()(ids, lengths)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("embedding", ["plain", "piecewise", "periodic"])
def test_missing_numbers_are_nan_or_flags_and_their_values_never_read(embedding):
    torch.manual_seed(0)
    network = mlp(num_classes=2, in_features=3, embedding=embedding).eval()
    values = torch.randn(4, 3)
    present = torch.tensor([[True, False, True]] * 4)
    with_nan = values.clone()
    with_nan[:, 1] = float("nan")
    torch.testing.assert_close(network(with_nan), network(values, present))
    assert not torch.allclose(network(values), network(values, present))
    network(with_nan).sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_the_piecewise_embedding_fits_a_jump_that_a_plain_net_blurs():
    torch.manual_seed(0)
    values = torch.randn(512, 2)
    target = ((values[:, 0] > 0.3) ^ (values[:, 1] > -0.5)).float()
    losses = {}
    for embedding in ("plain", "piecewise"):
        torch.manual_seed(1)
        network = mlp(num_classes=1, in_features=2, depth=1, embedding=embedding, dropout=0.0)
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        for _ in range(80):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(values)[:, 0], target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[embedding] = float(loss.detach())
    assert losses["piecewise"] < losses["plain"]
