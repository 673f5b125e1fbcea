"""The fusion network: absent cells, hidden columns, frozen encoders, any encoder by address, odd column names."""

import copy
from typing import Any

import pytest
import torch

from gradatim.errors import GradatimError
from gradatim.models.address import build
from gradatim.models.fusion.encoders import default_encoder
from gradatim.models.fusion.network import demo, demo_inputs, fusion_network, state_name

PICTURE = {"kind": "image", "describe": {"channels": 1, "size": 12, "mean": [0.5], "std": [0.2]}}


def rows_of(value: Any, rows: list[int]) -> Any:
    return {name: rows_of(part, rows) for name, part in value.items()} if isinstance(value, dict) else value[rows]


@pytest.mark.parametrize("fusion", ["concatenation", "attention"])
def test_rows_are_independent_gradients_reach_all_and_the_compiler_agrees(fusion):
    torch.manual_seed(0)
    _, (inputs, present) = demo()
    network = fusion_network(demo_inputs(), 4, fusion, width=16)
    for _ in range(3):
        network(inputs, present).square().sum().backward()
    for module in network.modules():  # γ of the last batch norms starts at 0
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    network(inputs, present).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
    network.eval()
    with torch.no_grad():
        together = network(inputs, present)
        assert network.features(inputs, present).shape == (3, network.num_features)
        for row in range(3):
            alone = network(rows_of(inputs, [row]), rows_of(present, [row]))
            torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(inputs, present), together)


def test_padding_cut_to_the_row_changes_nothing():
    torch.manual_seed(1)
    network, (inputs, present) = demo()
    network.eval()
    inputs["description"]["lengths"][:] = torch.tensor([7, 3, 5])
    inputs["description"]["ids"] *= torch.arange(7) < inputs["description"]["lengths"][:, None]
    with torch.no_grad():
        together = network(inputs, present)
        row = rows_of(inputs, [1])
        row["description"]["ids"] = row["description"]["ids"][:, :3]
        row["voice"]["log_mel"] = row["voice"]["log_mel"][:, :, :9]
        torch.testing.assert_close(network(row, rows_of(present, [1]))[0], together[1], atol=1e-5, rtol=1e-4)


def test_the_content_of_an_absent_cell_is_never_read():
    network, (inputs, _) = demo()
    network.eval()
    present = {name: torch.zeros(3, dtype=torch.bool) for name in inputs}
    other = copy.deepcopy(inputs)
    other["width.cm"] = torch.full((3,), float("nan"))
    other["colour"] = torch.tensor([0, 0, 0])
    other["picture"] = 255 - other["picture"]
    other["voice"]["log_mel"] *= -3
    with torch.no_grad():
        output = network(inputs, present)
        torch.testing.assert_close(network(other, present), output, atol=0, rtol=0)
    assert output.isfinite().all()
    torch.testing.assert_close(output[0], output[1])  # nothing is known of any row, so all answers are one


def test_empty_texts_and_one_frame_sounds_give_finite_answers_and_gradients():
    network, (inputs, present) = demo()
    inputs["description"] = {"ids": torch.zeros(3, 1, dtype=torch.long), "lengths": torch.zeros(3, dtype=torch.long)}
    inputs["voice"] = {"log_mel": torch.zeros(3, 16, 1), "lengths": torch.tensor([0, 1, 1])}
    output = network(inputs, present)
    output.sum().backward()
    assert output.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_hidden_columns_never_leave_a_row_empty_and_only_in_training():
    inputs = {name: {"kind": "category", "describe": {"cardinality": 3}} for name in "abc"}
    network = fusion_network(inputs, 2, modality_dropout=0.5)
    batch = {name: torch.ones(4000, dtype=torch.long) for name in "abc"}
    present = {"a": torch.ones(4000, dtype=torch.bool), "b": torch.ones(4000, dtype=torch.bool)}
    present["c"] = torch.zeros(4000, dtype=torch.bool)
    shown = network.shown(batch, present)
    assert shown[:, :2].any(1).all() and not shown[:, 2].any()
    # a: hidden with 1/2, shown again where b was hidden as well (1/4)
    assert abs(float(shown[:, 0].float().mean()) - 0.75) < 0.03
    network.eval()
    assert torch.equal(network.shown(batch, present)[:, 0], present["a"])


def test_a_frozen_encoder_does_not_move():
    torch.manual_seed(0)
    frozen = {"picture": {**PICTURE, "frozen": True}, "colour": {"kind": "category", "describe": {"cardinality": 3}}}
    network = fusion_network(frozen, 2)
    before = {name: value.clone() for name, value in network.encoder("picture").state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network.train()
    assert not network.encoder("picture").training and network.training
    batch = {"picture": torch.randint(0, 256, (4, 1, 12, 12), dtype=torch.uint8), "colour": torch.tensor([1, 2, 0, 1])}
    network(batch).sum().backward()
    optimizer.step()
    for name, value in network.encoder("picture").state_dict().items():
        assert torch.equal(value, before[name]), name


def test_any_network_of_the_zoo_reads_a_column_by_its_address():
    colour = {"address": "small_resnet", "arguments": {"in_channels": 3, "width": 8}}
    words = {"kind": "text", "describe": {"vocabulary": 9, "max_length": 4}}
    inputs = {
        "picture": {**PICTURE, "encoder": {"address": "vision.resnet.resnet18", "arguments": {}}},
        "grey as colour": {**PICTURE, "encoder": colour},
        "digit": {**PICTURE, "encoder": {"address": "lenet5"}},
        "sound": {"kind": "audio", "describe": {"mels": 32}, "encoder": {"address": "resnet18"}},
        "text": {**words, "encoder": {"address": "transformer_encoder"}},
        "read": {**words, "encoder": {"address": "recurrent_classifier"}},
    }
    network = fusion_network(inputs, 3, "attention").eval()
    picture = torch.randint(0, 256, (2, 1, 12, 12), dtype=torch.uint8)
    text = {"ids": torch.tensor([[1, 2, 0], [3, 4, 5]]), "lengths": torch.tensor([2, 3])}
    sound = {"log_mel": torch.randn(2, 32, 40), "lengths": torch.tensor([40, 20])}
    batch = dict.fromkeys(("picture", "grey as colour", "digit"), picture)
    batch |= {"sound": sound, "text": text, "read": text}
    assert network(batch).shape == (2, 3)
    assert network.encoder("picture").conv1.in_channels == 1
    assert network.encoder("grey as colour").stem.conv.in_channels == 3
    assert network.encoder("text").embedding.num_embeddings == 9


def test_names_with_dots_and_spaces_keep_their_own_weights():
    names = ["a.b", "a_b", "a b", "a%2Eb", "forward", "type", "名前", "items"]
    assert len({state_name(name) for name in names}) == len(names)
    network = fusion_network({name: {"kind": "category", "describe": {"cardinality": 2}} for name in names}, 1)
    assert network({name: torch.tensor([1]) for name in names}).shape == (1, 1)
    again = fusion_network({name: {"kind": "category", "describe": {"cardinality": 2}} for name in names[::-1]}, 1)
    assert set(again.state_dict()) == set(network.state_dict())


def test_pixels_are_standardised_inside():
    network = fusion_network({"picture": PICTURE}, 2)
    normalize = network.encoders["image_picture"].normalize
    pixels = torch.randint(0, 256, (2, 1, 5, 5), dtype=torch.uint8)
    torch.testing.assert_close(normalize(pixels), (pixels.float() / 255 - 0.5) / 0.2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"inputs": {}, "outputs": 2}, "at least one input column"),
        ({"inputs": {"a": {"kind": "smell"}}, "outputs": 2}, "'a'.*number, category"),
        ({"inputs": {"a": {"kind": "category"}}, "outputs": 2}, "'a'.*cardinality"),
        ({"inputs": {"a": PICTURE}, "outputs": 2, "fusion": "addition"}, "concatenation, attention"),
        ({"inputs": {"a": {**PICTURE, "encoder": {"address": "resnet19"}}}, "outputs": 2}, "'a'.*resnet18"),
        ({"inputs": {"a": {**PICTURE, "encoder": {"address": "os.system"}}}, "outputs": 2}, "'a'.*os.system"),
        ({"inputs": {"a": {**PICTURE, "encoder": {"address": "resnet18", "arguments": {"x": 1}}}}, "outputs": 2},
         "'a'.*'x'"),
        ({"inputs": {"a": {"kind": "text", "describe": {"vocabulary": 5}, "encoder": {"address": "resnet18"}}},
          "outputs": 2}, "'a'.*for text columns"),
        ({"inputs": {"a": {**PICTURE, "encoder": {"address": "bag_of_embeddings"}}}, "outputs": 2},
         "'a'.*for image columns"),
    ],
)
def test_bad_arguments_are_one_line_that_names_the_column(arguments, says):
    with pytest.raises(GradatimError, match=says) as caught:
        build({"address": "fusion_network", "arguments": arguments})
    assert "\n" not in str(caught.value)


def test_defaults_follow_the_column():
    assert default_encoder("text", {"max_length": 2})["address"].endswith("bag_of_embeddings")
    assert default_encoder("text", {"max_length": 30})["address"].endswith("attention_pool")
    assert default_encoder("text", {"max_length": 5000})["address"].endswith("bag_of_embeddings")
    strides = [default_encoder("image", {"size": size})["arguments"]["stem_stride"] for size in (16, 28, 64, 96, 224)]
    assert strides == [1, 2, 4, 4, 8]
