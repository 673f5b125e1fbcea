"""Augmentation: against loops over single pictures, pure in its key, missing cells and labels untouched."""

import json
import time

import numpy as np
import pytest
import torch
from scipy import ndimage

from gradatim.data.augment import (
    Augmentation,
    augment,
    augment_pictures,
    default_augmentation,
    mask_sounds,
    mixup,
)
from gradatim.data.batch import Batch
from gradatim.errors import SchemaError
from gradatim.randomness import torch_generator

KINDS = {"photo": "image", "sound": "audio", "words": "text", "size": "number", "colour": "category"}


def pictures(rows=16, channels=3, height=12, width=10, seed=0):
    generator = torch_generator("pictures", seed)
    return torch.randint(0, 256, (rows, channels, height, width), generator=generator, dtype=torch.uint8)


def batch_of(rows=16):
    generator = torch_generator("batch")
    lengths = torch.arange(rows) % 9 + 1
    ids = torch.randint(2, 50, (rows, 9), generator=generator) * (torch.arange(9) < lengths[:, None])
    inputs = {
        "photo": pictures(rows),
        "sound": {"log_mel": torch.rand(rows, 8, 20, generator=generator) + 0.1, "lengths": torch.full((rows,), 20)},
        "words": {"ids": ids, "lengths": lengths}, "size": torch.randn(rows, generator=generator),
        "colour": torch.randint(0, 5, (rows,), generator=generator),
    }
    present = {name: torch.ones(rows, dtype=torch.bool) for name in inputs}
    return Batch(np.arange(rows), inputs, {"y": torch.arange(rows)}, present)


EVERYTHING = Augmentation(flip=True, shift_pixels=2, rotate_degrees=10.0, cutout=4, brightness=0.2, contrast=0.2,
                          noise=0.1, time_mask=5, frequency_mask=3, word_dropout=0.3)


def flat(batch):
    for name, field in batch.inputs.items():
        for part, tensor in (field.items() if isinstance(field, dict) else [("", field)]):
            yield f"{name} {part}", tensor


def equal(left, right):
    return {name: torch.equal(tensor, dict(flat(right))[name]) for name, tensor in flat(left)}


def run(batch, seed=0, epoch=0, step=0, options=EVERYTHING):
    return augment(batch, dict.fromkeys(batch.inputs, options), KINDS, seed=seed, epoch=epoch, step=step)


def test_pure_function_of_seed_epoch_and_step():
    first = run(batch_of())
    torch.manual_seed(123)  # the global generator has no say
    assert all(equal(first, run(batch_of())).values())
    for key in ({"seed": 1}, {"epoch": 1}, {"step": 1}):
        same = equal(first, run(batch_of(), **key))
        assert not any(same[name] for name in ("photo ", "sound log_mel", "words ids", "size "))


def test_the_batch_given_is_left_alone_and_labels_follow():
    batch = batch_of()
    changed = run(batch)
    assert all(equal(batch, batch_of()).values())
    assert torch.equal(changed.targets["y"], batch.targets["y"]) and changed.rows is batch.rows
    for name, tensor in flat(batch):
        assert dict(flat(changed))[name].dtype == tensor.dtype and dict(flat(changed))[name].shape == tensor.shape
    assert torch.equal(changed.inputs["colour"], batch.inputs["colour"])
    assert torch.equal(changed.inputs["words"]["lengths"], batch.inputs["words"]["lengths"])
    nothing = run(batch, options=Augmentation())
    assert nothing.inputs["photo"] is batch.inputs["photo"]


def test_missing_cells_are_untouched():
    batch = batch_of()
    batch.present["photo"][3] = batch.present["size"][4] = False
    batch.inputs["photo"][3] = 0
    batch.inputs["size"][4] = 0.0
    batch.inputs["sound"]["log_mel"][5], batch.inputs["sound"]["lengths"][5] = 0.0, 0
    batch.inputs["words"]["ids"][6], batch.inputs["words"]["lengths"][6] = 0, 0
    for step in range(20):
        changed = run(batch, step=step)
        assert not changed.inputs["photo"][3].any() and changed.inputs["size"][4] == 0
        assert not changed.inputs["sound"]["log_mel"][5].any() and not changed.inputs["words"]["ids"][6].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_and_shift_equal_a_loop_with_repeated_edges(channels):
    """Every changed picture is one of the shifts and flips of its own; over many, every one occurs."""
    given, most = pictures(64, channels), 2
    seen = set()
    for step in range(8):
        changed = augment_pictures(given, Augmentation(flip=True, shift_pixels=most), torch_generator("shift", step))
        for before, after in zip(given.numpy(), changed.numpy()):
            matches = []
            for flipped in (False, True):
                padded = np.pad(before[:, :, ::-1] if flipped else before, [(0, 0), (most, most), (most, most)], "edge")
                matches += [(flipped, down, right) for down in range(5) for right in range(5)
                            if np.array_equal(padded[:, down : down + 12, right : right + 10], after)]
            assert len(matches) == 1
            seen.add(matches[0])
    assert len(seen) == 50


def test_flip_alone_turns_about_half():
    given = pictures(400, 1)
    changed = augment_pictures(given, Augmentation(flip=True), torch_generator(0))
    kept = (changed == given).all(dim=(1, 2, 3))
    assert torch.equal(changed[~kept], given[~kept].flip(-1))
    assert 150 < int(kept.sum()) < 250


@pytest.mark.parametrize("height, width", [(41, 41), (31, 61)])
def test_rotation_equals_scipy_up_to_its_angle(height, width):
    y, x = np.mgrid[0:height, 0:width]
    smooth = (127 + 80 * np.sin(x / 5) * np.cos(y / 7)).astype(np.uint8)
    given = torch.from_numpy(smooth)[None, None].expand(6, 1, height, width).contiguous()
    changed = augment_pictures(given, Augmentation(rotate_degrees=30.0), torch_generator("turn")).numpy()
    middle = (slice(8, -8), slice(8, -8))
    angles = np.linspace(-30, 30, 121)
    turned = [ndimage.rotate(smooth.astype(float), angle, reshape=False, order=1, mode="nearest")[middle]
              for angle in angles]
    found = []
    for picture in changed[:, 0]:
        errors = [np.abs(picture[middle] - candidate).mean() for candidate in turned]
        assert min(errors) < 1.5
        found.append(angles[int(np.argmin(errors))])
    assert np.ptp(found) > 10


def test_cutout_is_one_square_of_the_fill():
    given = torch.zeros(200, 3, 12, 10, dtype=torch.uint8)
    changed = augment_pictures(given, Augmentation(cutout=4, fill=99), torch_generator("cut"))
    areas = []
    for picture in changed:
        assert torch.equal(picture[0], picture[1]) and set(picture.unique().tolist()) <= {0, 99}
        rows, columns = (picture[0] == 99).any(1).nonzero(), (picture[0] == 99).any(0).nonzero()
        area = int((picture[0] == 99).sum())
        assert area == len(rows) * len(columns) <= 16
        areas.append(area)
    assert max(areas) == 16 and min(areas) > 0


def test_brightness_and_contrast_stay_within_their_bounds():
    flatly = torch.full((300, 1, 4, 4), 100, dtype=torch.uint8)
    brighter = augment_pictures(flatly, Augmentation(brightness=0.1), torch_generator("light")).float()
    assert brighter.min() >= 100 - 26 and brighter.max() <= 100 + 26 and brighter.std() > 5
    assert torch.equal(augment_pictures(flatly, Augmentation(contrast=0.5), torch_generator("light")), flatly)
    given = pictures(50, 1)
    stretched = augment_pictures(given, Augmentation(contrast=0.3), torch_generator("light")).float()
    assert (stretched.mean((1, 2, 3)) - given.float().mean((1, 2, 3))).abs().max() < 12


def test_sound_masks_are_one_run_of_frames_and_one_of_bands():
    lengths = torch.tensor([40, 20, 4, 1, 0] * 40)
    given = torch.rand(200, 16, 40) + 1.0
    given *= (torch.arange(40) < lengths[:, None])[:, None]
    changed = mask_sounds(given, lengths, Augmentation(time_mask=10, frequency_mask=4), torch_generator("mask"))
    widths = set()
    for before, after, length in zip(given, changed, lengths.tolist()):
        assert torch.equal(after[after != 0], before[after != 0])
        if length:
            frames = (after[:, :length] == 0).all(0).nonzero()[:, 0]
            bands = (after[:, :length] == 0).all(1).nonzero()[:, 0]
            assert len(frames) <= min(10, length // 2) and len(bands) <= 4
            for run_of in (frames, bands):
                assert len(run_of) < 2 or int(run_of[-1] - run_of[0]) == len(run_of) - 1
            widths.add(len(frames))
    assert widths == set(range(11))


def test_word_dropout_turns_a_share_of_the_tokens_to_unknown():
    ids = torch.randint(2, 100, (200, 50))
    ids[:, 40:] = 0
    batch = Batch(np.arange(200), {"words": {"ids": ids, "lengths": torch.full((200,), 40)}})
    changed = run(batch, options=Augmentation(word_dropout=0.2)).inputs["words"]["ids"]
    dropped = changed != ids
    assert (changed[dropped] == 1).all() and not dropped[:, 40:].any()
    assert 0.18 < dropped[:, :40].float().mean() < 0.22


def test_mixup_is_the_weighted_mean_of_a_row_and_its_pair():
    batch = batch_of()
    for name in ("words", "colour"):
        del batch.inputs[name], batch.present[name]
    batch.present["size"][2] = False
    mixed = mixup(batch, 0.4, KINDS, seed=0, epoch=1, step=2)
    again = mixup(batch, 0.4, KINDS, seed=0, epoch=1, step=2)
    assert torch.equal(mixed.pair, again.pair) and torch.equal(mixed.weight, again.weight)
    assert sorted(mixed.pair.tolist()) == list(range(16))
    for row, (pair, weight) in enumerate(zip(mixed.pair.tolist(), mixed.weight.tolist())):
        expected = weight * batch.inputs["photo"][row].double() + (1 - weight) * batch.inputs["photo"][pair].double()
        assert (mixed.batch.inputs["photo"][row].double() - expected).abs().max() <= 0.5001
        sound = batch.inputs["sound"]["log_mel"]
        torch.testing.assert_close(mixed.batch.inputs["sound"]["log_mel"][row],
                                   weight * sound[row] + (1 - weight) * sound[pair])
        if (row == 2) != (pair == 2):
            assert weight == 1.0
    others = [mixup(batch, 0.4, KINDS, seed=0, epoch=0, step=step) for step in range(5)]
    assert {len(set(other.weight.tolist())) for other in others} >= {2}
    shares = [float(mixup(batch, 0.4, KINDS, seed=0, epoch=0, step=step).weight[5]) for step in range(300)]
    assert abs(np.mean(shares) - 0.5) < 0.1 and np.quantile(shares, 0.1) < 0.15  # Beta(0.4, 0.4) crowds the ends


def test_mixup_needs_inputs_that_can_be_mixed():
    with pytest.raises(SchemaError, match="words, colour cannot be mixed"):
        mixup(batch_of(), 0.2, KINDS, seed=0, epoch=0, step=0)


def test_options_round_trip_and_are_checked():
    assert Augmentation.from_json(json.loads(json.dumps(EVERYTHING.to_json()))) == EVERYTHING
    for bad in ({"flip": 1}, {"shift_pixels": -1}, {"cutout": 1.5}, {"word_dropout": 2.0}, {"fill": 300}, {"zoom": 1},
                {"noise": float("nan")}, []):
        with pytest.raises(SchemaError):
            Augmentation.from_json(bad)


def test_defaults_are_careful():
    image = default_augmentation("image", {"size": 64, "mean": [0.2, 0.4, 0.6]})
    assert image == Augmentation(shift_pixels=5, fill=102)
    sound = default_augmentation("audio", {"mels": 64, "max_frames": 101})
    assert sound == Augmentation(time_mask=10, frequency_mask=8)
    assert default_augmentation("text", {"vocabulary": 9, "max_length": 9}).word_dropout == 0.05
    assert default_augmentation("number", {}) == default_augmentation("category", {"cardinality": 3}) == Augmentation()


def test_flip_and_shift_of_a_batch_take_under_a_millisecond():
    batch = Batch(np.arange(128), {"photo": pictures(128, 1, 28, 28)}, {}, {"photo": torch.ones(128, dtype=torch.bool)})
    seconds = []
    for step in range(60):
        started = time.perf_counter()
        run(batch, step=step, options=Augmentation(flip=True, shift_pixels=2))
        seconds.append(time.perf_counter() - started)
    assert np.median(seconds) < 1e-3
