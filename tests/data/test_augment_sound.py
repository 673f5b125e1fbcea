"""Sounds changed as waveforms: exact where it can be said exactly, by row alone, never beyond a sound's length."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.augment_options import Augmentation, AugmentRequest
from gradatim.data.augment_random import RowRandom
from gradatim.data.augment_sound import SPREAD, Waves, change_waves, waves_of, with_waves
from gradatim.data.batch import Batch
from gradatim.data.codecs.audio import AudioCodec
from gradatim.data.codecs.wave import WaveCodec
from gradatim.data.table import Table
from gradatim.errors import GradatimError, SchemaError

RATE = 16_000
EVERYTHING = Augmentation(gain=6.0, snr=5.0, shift=0.2, speed=0.15)
CODEC = AudioCodec(max_seconds=1.0)


def tone(hertz: float, count: int, level: float = 0.4) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(count) / RATE)).astype(np.float32)


def sounds() -> Table:
    cells = [(tone(300 + 200 * row, count), RATE) for row, count in enumerate((9000, 3000, 1, 0, 16_000, 700, 12_345))]
    return Table(pl.DataFrame({"voice": pl.Series([*cells, None], dtype=pl.Object)}))


def field(rows: list[int], choice: Augmentation, epoch: int = 0) -> dict[str, torch.Tensor]:
    return Waves.of(sounds(), "voice", CODEC, choice).field(np.array(rows), seed=0, epoch=epoch)[0]


def changed(waves: torch.Tensor, lengths: torch.Tensor, choice: Augmentation, most: int = 10**6) -> torch.Tensor:
    return change_waves(waves, lengths, choice, RowRandom(np.arange(len(waves)), "test"), most=most)[0]


def test_unchanged_waves_give_the_spectrogram_of_the_codec() -> None:
    table = sounds()
    found = field(list(range(8)), Augmentation())
    expected = CODEC.stack([CODEC.encode(cell)[0] for cell in table.cells("voice")])
    assert torch.equal(found["lengths"], expected["lengths"]) and found["lengths"][7] == 0
    torch.testing.assert_close(found["log_mel"], expected["log_mel"], atol=0.03, rtol=0)  # 16 bits


def test_a_row_is_changed_alike_alone_and_among_others() -> None:
    together = field(list(range(8)), EVERYTHING)
    for row in (0, 1, 4, 5, 6):
        alone = field([row], EVERYTHING)
        frames = int(alone["lengths"][0])
        assert frames == together["lengths"][row]
        torch.testing.assert_close(together["log_mel"][row, :, :frames], alone["log_mel"][0], atol=1e-4, rtol=1e-5)
    assert torch.equal(together["log_mel"], field(list(range(8)), EVERYTHING)["log_mel"])
    assert not torch.equal(together["log_mel"][0], field(list(range(8)), EVERYTHING, epoch=1)["log_mel"][0])


def test_silence_beyond_each_sound_and_no_sound_where_there_was_none() -> None:
    found = field(list(range(8)), EVERYTHING)
    outside = torch.arange(found["log_mel"].shape[2]) >= found["lengths"][:, None]
    assert torch.isfinite(found["log_mel"]).all()
    assert not found["log_mel"][outside[:, None].expand_as(found["log_mel"])].any()
    assert not found["log_mel"][3].any() and not found["log_mel"][7].any()
    assert found["log_mel"].shape[2] <= CODEC.describe()["max_frames"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=5), st.floats(0, 1), st.floats(0, 1), st.floats(0, 60))
def test_any_lengths_stay_within_what_they_may_be(lengths: list[int], speed: float, shift: float, gain: float) -> None:
    counts = torch.tensor(lengths)
    waves = torch.ones(len(lengths), max([1, *lengths])) * (torch.arange(max([1, *lengths])) < counts[:, None])
    choice = Augmentation(speed=speed, shift=shift, gain=gain, snr=10.0)
    after, new = change_waves(waves, counts, choice, RowRandom(np.arange(len(lengths)), "h"), most=1000)
    assert (new <= 1000).all() and ((new > 0) == (counts > 0)).all() and torch.isfinite(after).all()
    assert not after[torch.arange(after.shape[1]) >= new[:, None]].any()


def test_louder_is_a_factor_within_the_decibels_asked() -> None:
    waves = torch.rand(300, 50) + 0.1
    after = changed(waves, torch.full((300,), 50), Augmentation(gain=6.0))
    factor = after / waves
    torch.testing.assert_close(factor.amax(1), factor.amin(1))
    decibels = 20 * torch.log10(factor[:, 0])
    assert 5.5 < decibels.abs().max() <= 6.001 and abs(decibels.mean()) < 0.6


def test_noise_lies_as_many_decibels_below_the_sound_as_drawn() -> None:
    waves = torch.from_numpy(np.stack([tone(440, 8000, level) for level in np.linspace(0.01, 0.9, 60)]))
    noise = changed(waves, torch.full((60,), 8000), Augmentation(snr=12.0)) - waves
    ratio = 10 * torch.log10(waves.square().mean(1) / noise.square().mean(1))
    assert ratio.min() > 11.5 and ratio.max() < 12.5 + SPREAD and ratio.max() - ratio.min() > 20
    spectrum = torch.fft.rfft(noise[0]).abs().square()
    assert spectrum[:2000].mean() / spectrum[2000:].mean() == pytest.approx(1, abs=0.15)  # white


def test_a_shift_moves_whole_samples_and_brings_silence() -> None:
    waves, lengths = torch.arange(1.0, 101.0).repeat(40, 1), torch.full((40,), 90)
    waves = waves * (torch.arange(100) < 90)
    after = changed(waves, lengths, Augmentation(shift=0.3))
    steps = []
    for row in after:
        there = torch.nonzero(row)[:, 0]
        step = int(there[0] + 1 - row[there[0]])
        steps.append(step)
        assert torch.equal(row[there], there - step + 1.0)
        assert int(there[0]) == max(step, 0) and int(there[-1]) == 89 + min(step, 0)
    assert min(steps) < -15 and max(steps) > 15 and max(map(abs, steps)) <= 27


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 5000.0])
def test_another_speed_is_another_pitch_and_length_without_other_frequencies(hertz: float) -> None:
    count = 8000
    waves = torch.from_numpy(tone(hertz, count)).repeat(12, 1)
    lengths = torch.full((12,), count)
    after, new = change_waves(waves, lengths, Augmentation(speed=0.2), RowRandom(np.arange(12), "s"), most=10**6)
    speeds = count / new.double()
    assert speeds.min() >= 1 / 1.22 and speeds.max() <= 1.22 and speeds.max() - speeds.min() > 0.2
    for row, length, speed in zip(after, new.tolist(), speeds.tolist()):
        middle = row[500 : length - 500].double().numpy()
        rests = []
        for exact in speed * np.linspace(1 - 1e-4, 1 + 1e-4, 21):  # the length tells the speed to half a sample alone
            angle = 2 * np.pi * hertz * exact / RATE * np.arange(500, length - 500)
            design = np.stack([np.sin(angle), np.cos(angle)], 1)
            found, *_ = np.linalg.lstsq(design, middle, rcond=None)
            rests.append((np.sqrt(np.mean((middle - design @ found) ** 2)), np.hypot(*found)))
        rest, height = min(rests)
        assert rest < 0.01 and height == pytest.approx(0.4, rel=0.02)


def test_a_slower_sound_is_cut_where_the_codec_cuts() -> None:
    waves = torch.from_numpy(tone(500, 1000)).repeat(20, 1)
    after, new = change_waves(waves, torch.full((20,), 1000), Augmentation(speed=0.5), RowRandom(np.arange(20), "c"),
                              most=1000)
    assert new.max() == 1000 and new.min() < 800 and after.shape[1] == 1000


def test_waves_hold_sixteen_bits_and_loud_sounds_keep_their_height() -> None:
    whole = np.random.default_rng(0).integers(-32768, 32768, 500).astype(np.int16)
    codec = WaveCodec(CODEC)
    (values, unit), _ = codec.encode((whole, RATE))
    assert np.array_equal(values, whole) and unit == 1 / 32768
    loud = 7 * tone(440, 500)
    (values, unit), _ = codec.encode((loud, RATE))
    assert np.abs(codec.decode((values, unit)) - loud).max() <= unit
    assert codec.encode(None) == (None, None)
    with pytest.raises(SchemaError):
        codec.to_json()


def test_only_columns_whose_waves_change_are_read_as_waves() -> None:
    table, codecs = sounds(), {"voice": CODEC}
    assert waves_of(table, codecs, {"voice": Augmentation(time_mask=5, frequency_mask=3)}) == []
    (waves,) = waves_of(table, codecs, {"voice": Augmentation(gain=3)})
    batch = with_waves(Batch(np.array([4, 7]), {}, {}, {}, {}), [waves], seed=1, epoch=0)
    assert batch.present["voice"].tolist() == [True, False] and batch.inputs["voice"]["lengths"].tolist() == [101, 0]


def test_a_part_of_a_table_is_changed_as_in_the_whole() -> None:
    table, numbers = sounds(), np.array([1, 4, 6])
    whole = Waves.of(table, "voice", CODEC, EVERYTHING).field(np.array([6, 1]), seed=3, epoch=2)[0]
    part = Waves.of(table.take(numbers), "voice", CODEC, EVERYTHING, numbers=numbers)
    assert torch.equal(part.field(np.array([6, 1]), seed=3, epoch=2)[0]["log_mel"], whole["log_mel"])


def test_the_command_line_reaches_them() -> None:
    asked = AugmentRequest.parse(["audio:gain=6,snr=10,shift=0.1,speed=0.1"])
    options = asked.of("voice", "audio", Augmentation(time_mask=3))
    assert (options.gain, options.snr, options.shift, options.speed, options.time_mask) == (6, 10, 0.1, 0.1, 3)
    assert options.changes_waves
    with pytest.raises(GradatimError, match="snr: expected an input of kind audio"):
        AugmentRequest.parse(["snr=10"]).check({"photo": "image"})
