"""Augmentation of a batch: pure in (seed, epoch, row), missing cells untouched, targets follow their picture."""

import time

import numpy as np
import pytest
import torch

from gradatim.data.augment import Augmentation, Follow, augment, augment_pictures, default_augmentation, mask_sounds
from gradatim.data.augment_random import RowRandom
from gradatim.data.batch import Batch, select
from gradatim.data.codecs.image import Framing
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
        "words": {"ids": ids, "lengths": lengths},
        "size": torch.randn(rows, generator=generator),
        "colour": torch.randint(0, 5, (rows,), generator=generator),
    }
    present = {name: torch.ones(rows, dtype=torch.bool) for name in inputs}
    return Batch(np.arange(rows), inputs, {"y": torch.arange(rows)}, present)


EVERYTHING = Augmentation(
    flip=0.5,
    flip_vertical=0.3,
    shift=0.2,
    rotate=10.0,
    scale=0.2,
    shear=5.0,
    crop=0.7,
    cutout=0.3,
    brightness=0.2,
    contrast=0.2,
    saturation=0.3,
    hue=0.1,
    grey=0.2,
    noise=0.1,
    blur=1.0,
    time_mask=5,
    frequency_mask=3,
    word_dropout=0.3,
    jitter=0.1,
)


def flat(batch):
    for name, field in batch.inputs.items():
        for part, tensor in field.items() if isinstance(field, dict) else [("", field)]:
            yield f"{name} {part}", tensor


def equal(left, right):
    return {name: torch.equal(tensor, dict(flat(right))[name]) for name, tensor in flat(left)}


def run(batch, seed=0, epoch=0, options=EVERYTHING, follows=None):
    return augment(batch, dict.fromkeys(batch.inputs, options), KINDS, seed=seed, epoch=epoch, follows=follows)


def part_of(batch, places):
    """The given places of a batch, in that order."""
    index = torch.as_tensor(places)
    return Batch(
        batch.rows[places],
        {n: select(v, index) for n, v in batch.inputs.items()},
        {n: select(v, index) for n, v in batch.targets.items()},
        {n: v[index] for n, v in batch.present.items()},
        {n: [v[place] for place in places] for n, v in batch.context.items()},
    )


@pytest.mark.parametrize("places", [[5], [3, 9, 14], [15, 0, 7, 8, 2, 1], list(range(15, -1, -1))])
def test_neither_batch_mates_nor_batch_size_have_a_say(places):
    whole, some = run(batch_of()), run(part_of(batch_of(), places))
    assert all(equal(part_of(whole, places), some).values())


def test_a_picture_has_the_same_bits_alone_and_among_a_hundred():
    given = pictures(100, 3, 40, 40)
    options = Augmentation(
        rotate=20.0, crop=0.6, brightness=0.2, contrast=0.3, saturation=0.3, hue=0.1, noise=0.1, blur=1.5
    )
    whole = augment_pictures(given, options, RowRandom(np.arange(100), 0))
    for row in range(100):
        alone = augment_pictures(given[row : row + 1], options, RowRandom(np.array([row]), 0))
        assert torch.equal(alone[0], whole[row])


def test_chunks_on_a_processor_do_not_show(monkeypatch):
    whole = run(batch_of(64))
    monkeypatch.setattr("gradatim.data.augment.CHUNK_PIXELS", 3 * 12 * 10 * 5)
    assert all(equal(whole, run(batch_of(64))).values())


def test_pure_function_of_seed_epoch_and_row():
    first = run(batch_of())
    torch.manual_seed(123)  # the global generator has no say
    assert all(equal(first, run(batch_of())).values())
    for key in ({"seed": 1}, {"epoch": 1}):
        same = equal(first, run(batch_of(), **key))
        assert not any(same[name] for name in ("photo ", "sound log_mel", "words ids", "size "))
    batch = batch_of()
    batch.rows = batch.rows + 1
    assert not any(equal(first, run(batch))[name] for name in ("photo ", "sound log_mel", "words ids", "size "))


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
    assert all(equal(batch, nothing).values())


def test_missing_cells_are_untouched():
    batch = batch_of()
    batch.present["photo"][3] = batch.present["size"][4] = False
    batch.inputs["photo"][3] = 0
    batch.inputs["size"][4] = 0.0
    batch.inputs["sound"]["log_mel"][5], batch.inputs["sound"]["lengths"][5] = 0.0, 0
    batch.inputs["words"]["ids"][6], batch.inputs["words"]["lengths"][6] = 0, 0
    for epoch in range(20):
        changed = run(batch, epoch=epoch)
        assert not changed.inputs["photo"][3].any() and changed.inputs["size"][4] == 0
        assert not changed.inputs["sound"]["log_mel"][5].any() and not changed.inputs["words"]["ids"][6].any()


def test_sound_masks_are_one_run_of_frames_and_one_of_bands():
    lengths = torch.tensor([40, 20, 4, 1, 0] * 40)
    given = torch.rand(200, 16, 40) + 1.0
    given *= (torch.arange(40) < lengths[:, None])[:, None]
    options = Augmentation(time_mask=10, frequency_mask=4)
    changed = mask_sounds(given, lengths, options, RowRandom(np.arange(200), "mask"))
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


def test_defaults_are_careful():
    image = default_augmentation("image", {"size": 64, "mean": [0.2, 0.4, 0.6]})
    assert image == Augmentation(shift=5 / 64, fill=102)
    sound = default_augmentation("audio", {"mels": 64, "max_frames": 101})
    assert sound == Augmentation(time_mask=10, frequency_mask=8)
    assert default_augmentation("text", {"vocabulary": 9, "max_length": 9}).word_dropout == 0.05
    assert default_augmentation("number", {}) == default_augmentation("category", {"cardinality": 3}) == Augmentation()


def test_flip_and_shift_of_a_batch_take_a_millisecond():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    batch = Batch(np.arange(128), {"photo": pictures(128, 1, 28, 28)}, {}, {"photo": torch.ones(128, dtype=torch.bool)})
    seconds = []
    for epoch in range(60):
        started = time.process_time()
        run(batch, epoch=epoch, options=Augmentation(flip=0.5, shift=0.07))
        seconds.append(time.process_time() - started)
    torch.set_num_threads(threads)
    assert np.min(seconds) < 1.5e-3


MOVES = Augmentation(flip=0.5, rotate=40.0, scale=0.2, shear=10.0, shift=0.1, crop=0.6)


def framed_batch(rows=40, side=64):
    """Dark pictures, of 90 × 60 or 50 × 100 pixels before they were laid into the square, with one bright blob each."""
    random = np.random.default_rng(0)
    squares, centres, context = np.zeros((rows, 1, side, side), np.uint8), [], []
    for row in range(rows):
        own = [(90, 60), (50, 100)][row % 2]
        scale = side / max(own)
        inner = (round(own[0] * scale), round(own[1] * scale))
        framing = Framing(own, ((side - inner[0]) // 2, (side - inner[1]) // 2, *inner))
        spot = random.uniform(0.35, 0.65, 2) * own
        x, y = spot * np.array(inner) / own + framing.box[:2]
        columns, lines = np.arange(side) + 0.5, np.arange(side)[:, None] + 0.5
        squares[row, 0] = np.rint(250 * np.exp(-((columns - x) ** 2 + (lines - y) ** 2) / 18))
        centres.append(spot)
        context.append(framing)
    centres = np.array(centres)
    corners = np.concatenate([centres - 4, centres + 4], axis=1)[:, None]
    lengths, labels = torch.ones(rows, dtype=torch.int64), torch.arange(rows)[:, None]
    targets = {
        "box": {"corners": torch.tensor(corners, dtype=torch.float32), "labels": labels, "lengths": lengths},
        "spots": {
            "points": torch.tensor(np.stack([centres, centres + 3], 1), dtype=torch.float32),
            "visible": torch.ones(rows, 2, dtype=torch.bool),
        },
        "shape": (torch.from_numpy(squares)[:, 0] > 100).long(),
    }
    return Batch(np.arange(rows), {"photo": torch.from_numpy(squares)}, targets, {}, {"photo": context})


FOLLOWS = {
    "box": Follow("boxes", "photo"),
    "spots": Follow("points", "photo", (0, 1)),
    "shape": Follow("mask", "photo"),
}


def blob(square):
    """Where the light is, x and y in pixels of the square."""
    light = square.double()
    columns, lines = torch.arange(light.shape[1]) + 0.5, torch.arange(light.shape[0]) + 0.5
    return np.array([float((light.sum(0) * columns).sum()), float((light.sum(1) * lines).sum())]) / float(light.sum())


def test_boxes_points_and_masks_follow_the_light_in_their_picture():
    batch = framed_batch()
    changed = run(batch, options=MOVES, follows=FOLLOWS)
    assert not torch.equal(changed.inputs["photo"], batch.inputs["photo"])
    for row in range(len(batch)):
        framing = batch.context["photo"][row]
        scale = np.array(framing.box[2:]) / framing.original
        seen = (blob(changed.inputs["photo"][row, 0]) - framing.box[:2]) / scale  # in pixels of the picture as it was
        point = changed.targets["spots"]["points"][row, 0].numpy()
        assert np.abs(point - seen).max() < 1.2
        box = changed.targets["box"]["corners"][row, 0].numpy()
        assert changed.targets["box"]["lengths"][row] == 1
        assert np.abs((box[:2] + box[2:]) / 2 - seen).max() < 1.5
        mask = changed.targets["shape"][row]
        assert np.abs(blob(mask) - blob(changed.inputs["photo"][row, 0])).max() < 1.0
        assert set(mask.unique().tolist()) <= {0, 1}
    assert batch.targets["box"] is not changed.targets["box"]


def test_targets_stay_where_only_the_light_changes_or_the_picture_is_missing():
    batch = framed_batch()
    light = run(batch, options=Augmentation(brightness=0.3, noise=0.1, blur=1.0, cutout=0.2), follows=FOLLOWS)
    assert all(light.targets[name] is batch.targets[name] for name in batch.targets)
    batch.context["photo"][4] = None
    changed = run(batch, options=MOVES, follows=FOLLOWS)
    assert torch.equal(changed.targets["box"]["corners"][4], batch.targets["box"]["corners"][4])
    assert torch.equal(changed.targets["spots"]["points"][4], batch.targets["spots"]["points"][4])


def test_what_leaves_the_picture_is_gone():
    batch = framed_batch()
    shifted = run(batch, options=Augmentation(shift=1.0), follows=FOLLOWS)
    gone = shifted.targets["box"]["lengths"] == 0
    assert 5 < int(gone.sum()) < 40
    assert not shifted.targets["spots"]["visible"][gone, 0].any()


def test_mirrored_landmarks_change_names():
    batch = framed_batch()
    swap = {"spots": Follow("points", "photo", (1, 0))}
    flipped = run(batch, options=Augmentation(flip=1.0), follows=swap).targets["spots"]["points"]
    plain = run(batch, options=Augmentation(flip=1.0), follows=FOLLOWS).targets["spots"]["points"]
    assert torch.equal(flipped, plain[:, [1, 0]])
    turned = run(batch, options=Augmentation(flip=1.0, flip_vertical=1.0), follows=swap).targets["spots"]["points"]
    half = run(batch, options=Augmentation(flip=1.0, flip_vertical=1.0), follows=FOLLOWS).targets["spots"]["points"]
    assert torch.equal(turned, half)  # half a turn is no mirror
    with pytest.raises(SchemaError, match="mirror"):
        run(batch, options=Augmentation(flip=1.0), follows={"spots": Follow("points", "photo")})
