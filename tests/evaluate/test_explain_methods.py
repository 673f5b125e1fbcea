"""Explanations of plain scores: against closed forms, finite differences, brute force and loops over the formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.evaluate.explain.check import randomisation, randomised, rank_correlation
from gradatim.evaluate.explain.gradients import (
    grad_cam,
    integrated_gradients,
    last_maps,
    saliency,
    smooth_grad,
)
from gradatim.evaluate.explain.maps import first_kernels, maps_by_depth
from gradatim.evaluate.explain.removal import leave_one_out, occlusion, pieces, without


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3, padding=1), nn.Tanh(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 1)).double().eval()


def score_of(network):
    return lambda values: network(values["x"])[:, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_linear_scores_have_closed_forms(width, seed):
    generator = torch.Generator().manual_seed(seed)
    w, x, base = (torch.randn(1, width, generator=generator, dtype=torch.float64) for _ in range(3))
    score = lambda v: (v["x"] * w).sum(1) + 3.0  # noqa: E731
    assert torch.allclose(saliency(score, {"x": x})["x"], w)
    assert torch.allclose(smooth_grad(score, {"x": x})["x"], w)
    assert torch.allclose(integrated_gradients(score, {"x": x}, {"x": base}, steps=4)["x"], w * (x - base))


def test_saliency_is_the_finite_difference():
    score, x = score_of(small_net()), torch.randn(1, 1, 5, 6, dtype=torch.float64)
    found = saliency(score, {"x": x})["x"]
    step = 1e-6
    for place in [(0, 0), (2, 3), (4, 5)]:
        moved = torch.zeros_like(x)
        moved[(0, 0, *place)] = step
        slope = (score({"x": x + moved}) - score({"x": x - moved})).detach() / (2 * step)
        assert float(found[(0, 0, *place)]) == pytest.approx(float(slope), rel=1e-5, abs=1e-9)


def test_integrated_gradients_are_complete_and_equal_the_riemann_sum():
    score = score_of(small_net())
    x, base = torch.randn(2, 1, 1, 5, 6, dtype=torch.float64)
    found = integrated_gradients(score, {"x": x}, {"x": base}, steps=128)["x"]
    assert float(found.sum()) == pytest.approx(float((score({"x": x}) - score({"x": base})).detach()),
                                               abs=1e-2 * float(found.abs().sum()))
    total = torch.zeros_like(x)  # eq. 3 of the paper, by a loop
    for k in range(500):
        total += saliency(score, {"x": base + (k + 0.5) / 500 * (x - base)})["x"]
    assert torch.allclose(found, (x - base) * total / 500, atol=2e-2 * float(found.abs().max()))


def test_integrated_gradients_over_several_inputs():
    x = {"a": torch.tensor([[2.0]]), "b": torch.tensor([[5.0, 1.0]]), "unused": torch.ones(1, 3)}
    base = {name: torch.zeros_like(value) for name, value in x.items()}
    found = integrated_gradients(lambda v: v["a"][:, 0] * v["b"][:, 0], x, base)
    assert found["a"].item() == pytest.approx(5.0, rel=1e-4) and found["b"][0, 0].item() == pytest.approx(5.0, rel=1e-4)
    assert found["unused"].abs().sum() == 0 and found["b"][0, 1] == 0


def test_smooth_grad_by_its_loop():
    score, x = score_of(small_net()), torch.randn(1, 1, 4, 4, dtype=torch.float64)
    found = smooth_grad(score, {"x": x}, deviation=0.2, samples=40, seed=3)["x"]
    generator, total = torch.Generator().manual_seed(3), torch.zeros_like(x)
    spread = 0.2 * float(x.max() - x.min())
    noise = torch.cat([torch.randn(32, 1, 4, 4, generator=generator), torch.randn(8, 1, 4, 4, generator=generator)])
    for row in noise.double():
        total += saliency(score, {"x": x + spread * row[None]})["x"]
    assert torch.allclose(found, total / 40)


def test_grad_cam_by_its_formula():
    network, x = small_net(), torch.randn(1, 1, 6, 5, dtype=torch.float64)
    layer = last_maps(network, score_of(network), {"x": x})
    assert layer is network[3]
    maps = network[3](network[2](network[1](network[0](x)))).detach().requires_grad_()
    network[6](network[5](network[4](maps)))[0, 0].backward()
    expected = torch.zeros(6, 5, dtype=torch.float64)
    for k in range(6):
        expected += maps.grad[0, k].mean() * maps.detach()[0, k]
    found = grad_cam(score_of(network), {"x": x}, layer)
    assert torch.allclose(found, expected.clamp(min=0))
    large = grad_cam(score_of(network), {"x": x}, layer, (12, 10))
    enlarged = F.interpolate(found[None, None], (12, 10), mode="bilinear", align_corners=False)[0, 0]
    assert torch.allclose(large, enlarged)
    before = grad_cam(score_of(network), {"x": x}, network[0])  # the layer after it writes in place
    assert before.shape == (6, 5)
    with pytest.raises(GradatimError, match="maps"):
        grad_cam(score_of(network), {"x": x}, network[6])


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 9), st.integers(3, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_occlusion_by_brute_force(height, width, patch, stride, seed):
    generator = np.random.default_rng(seed)
    picture, weights = generator.random((height, width, 2)), generator.normal(size=(height, width, 2))
    score = lambda p: float(np.tanh((p * weights).sum()))  # noqa: E731
    fill = np.array([0.1, 0.9])
    found = occlusion(lambda many: np.array([score(p) for p in many]), picture, patch=(patch, patch),
                      stride=(stride, stride), fill=fill)
    rows = sorted({*range(0, max(height - patch, 0) + 1, stride), max(height - patch, 0)})
    columns = sorted({*range(0, max(width - patch, 0) + 1, stride), max(width - patch, 0)})
    for y in range(height):
        for x in range(width):
            lost = []
            for top in rows:
                for left in columns:
                    if top <= y < top + patch and left <= x < left + patch:
                        hidden = picture.copy()
                        hidden[top : top + patch, left : left + patch] = fill
                        lost.append(score(picture) - score(hidden))
            assert found[y, x] == pytest.approx(np.mean(lost) if lost else 0.0)


def test_words_left_out():
    weights = {"good": 2.0, "bad": -3.0, "not": 0.5}
    answers = lambda texts: np.array([sum(weights.get(w, 0) for w in t.lower().split()) for t in texts])  # noqa: E731
    text = "A good and bad day"
    spans, lost = leave_one_out(answers, text)
    assert [text[slice(*span)] for span in spans] == ["A", "good", "and", "bad", "day"]
    assert lost.tolist() == [0, 2, 0, -3, 0]
    assert [without(text, span) for span in spans][1] == "A and bad day"
    assert without("one", (0, 3)) == ""
    assert pieces("") == [] and pieces("   ") == []
    assert len(pieces("猫が好きですそして犬も好きです")) == 15  # no spaces: character by character
    many = pieces(" ".join(["word"] * 1000))
    assert len(many) <= 160 and many[-1][1] == len(" ".join(["word"] * 1000))


def test_an_explanation_of_the_weights_falls_to_nothing_and_an_edge_detector_does_not():
    network = small_net()
    x = torch.randn(1, 1, 12, 12, dtype=torch.float64)
    gradient = lambda net: saliency(score_of(net), {"x": x})["x"].numpy()  # noqa: E731
    edges = lambda net: np.abs(np.diff(x[0, 0].numpy(), axis=0))  # noqa: E731
    assert [stage.share for stage in randomisation(network, gradient, stages=2)] == [0.0, 0.5, 1.0]
    assert randomisation(network, gradient, stages=1, repeats=8)[-1].correlation < 0.5
    assert randomisation(network, edges, stages=1)[-1].correlation == 1.0


def test_random_weights_from_the_answer_backwards():
    network = small_net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    half = randomised(network, 0.5)
    changed = [name for name, value in half.state_dict().items() if not torch.equal(value, before[name])]
    assert "6.weight" in changed and "0.weight" not in changed
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    every = randomised(network, 1.0)
    assert every[2].weight.std().item() == pytest.approx(network[2].weight.std().item(), rel=0.2)


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 5, 40), generator.normal(size=40)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(np.ones(4), np.arange(4)) == 0.0


def test_kernels_and_maps():
    network, x = small_net().float(), torch.randn(2, 1, 6, 6)
    name, weights = first_kernels(network)
    assert name == "0" and np.array_equal(weights, network[0].weight.detach().numpy())
    found = maps_by_depth(network, (x,), layers=3, channels=2)
    assert [entry.name for entry in found] == ["0", "2", "3"] or len(found) == 3
    with torch.no_grad():
        last = network[3](network[2](network[1](network[0](x))))[0].numpy()
    assert np.allclose(found[-1].values, last[list(found[-1].channels)]) and found[-1].shape == (6, 6, 6)
    deviations = last.reshape(6, -1).std(1)
    assert set(found[-1].channels) == set(np.argsort(-deviations)[:2].tolist())
    with pytest.raises(GradatimError, match="convolution"):
        first_kernels(nn.Linear(2, 2))
    with pytest.raises(GradatimError, match="maps"):
        maps_by_depth(nn.Sequential(nn.Linear(2, 2)), (torch.ones(1, 2),))
