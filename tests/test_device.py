"""The placement is chosen with reasons; the levers keep float32's error and can be told from their answer."""

import pytest
import torch

from gradatim.device import Placement, autocast, choose, product_error, pull_levers
from gradatim.errors import GradatimError


def test_choice_has_reasons_and_survives_json():
    placement = choose(device="cpu")
    assert placement.device == "cpu" and placement.threads == torch.get_num_threads()
    assert len(placement.reasons) == 4 and "asked for" in placement.reasons[0]
    assert Placement.from_json(placement.to_json()) == placement
    assert choose().device in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("device", ["gpu", "cuda:99" if not torch.cuda.is_available() else "tpu"])
def test_absent_device_is_refused(device):
    with pytest.raises(GradatimError, match="expected a device"):
        choose(device=device)


def test_damaged_placement_is_refused():
    with pytest.raises(GradatimError, match="dtype"):
        Placement(dtype="float16")
    with pytest.raises(GradatimError, match="threads"):
        Placement.from_json({"device": "cpu", "dtype": "float32", "channels_last": False})


def test_autocast_follows_the_dtype():
    layer = torch.nn.Linear(2, 2)
    with autocast(Placement("cpu", "float32")):
        assert layer(torch.ones(1, 2)).dtype == torch.float32
    context = autocast(Placement("cpu", "bfloat16"))
    for _ in range(2):  # one context serves all steps
        with context:
            assert layer(torch.ones(1, 2)).dtype == torch.bfloat16


def test_levers_keep_float32_and_say_what_they_did():
    products = torch.backends.mkldnn.matmul
    before, threads = products.fp32_precision, torch.get_num_threads()
    try:
        lines = pull_levers(Placement("cpu", "float32", False, 1), memory=False)
        assert torch.get_num_threads() == 1
        assert any(line.startswith("oneDNN products: ") for line in lines)
        assert not any(line.startswith("allocator") for line in lines)
        assert product_error() < 1e-5
    finally:
        products.fp32_precision = before
        torch.set_num_threads(threads)


def test_onednn_lever_is_undone_when_the_probe_finds_rounding(monkeypatch):
    import gradatim.device as device

    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    monkeypatch.setattr(device, "_cpu_facts", lambda: ("AuthenticAMD", frozenset({"avx512f"})))
    monkeypatch.setattr(device, "product_error", lambda: 3e-3)
    assert "off, the probe" in device._lever_onednn()
    assert products.fp32_precision == before
    monkeypatch.setattr(device, "_cpu_facts", lambda: ("GenuineIntel", frozenset({"avx512f", "amx_bf16"})))
    assert "off, they gain only" in device._lever_onednn()
