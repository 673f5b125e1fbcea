"""Sounds: the spectrogram against librosa, every format, rate and layout, damaged and empty files."""

import io

import librosa
import msgspec
import numpy as np
import pytest
import soundfile
import torch

from gradatim.data.codecs import codec_from_json
from gradatim.data.codecs.audio import AudioCodec
from gradatim.data.codecs.mel import FLOOR, log_mel, mel_bank, mel_power
from gradatim.data.codecs.sound import resample
from gradatim.errors import CellError, SchemaError
from gradatim.files import to_json_bytes


def tone(hertz=440.0, rate=16_000, seconds=1.0, level=0.5):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def noise(count=16_000, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def saved(samples, rate, format="WAV", subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


CODEC = AudioCodec(max_seconds=2.0).fit([(noise(), 16_000), (tone(), 16_000)])


@pytest.mark.parametrize("rate, mels, transform", [
    (16_000, 64, 512), (16_000, 128, 512), (22_050, 40, 1024), (8_000, 32, 256),
])
def test_mel_bank_equals_librosa(rate, mels, transform):
    expected = librosa.filters.mel(sr=rate, n_fft=transform, n_mels=mels)
    np.testing.assert_allclose(mel_bank(mels, transform // 2 + 1, rate).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("samples", [noise(), tone(), tone(3000, level=1.0), noise(7), noise(161)])
def test_log_mel_equals_librosa(samples):
    expected = librosa.feature.melspectrogram(y=samples, sr=16_000, n_fft=512, win_length=400, hop_length=160,
                                              n_mels=64, pad_mode="constant")
    got = mel_power(torch.from_numpy(samples), hertz=16_000, mels=64, hop=160).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * expected.max())
    ours = log_mel(torch.from_numpy(samples), hertz=16_000, mels=64, hop=160).numpy()
    np.testing.assert_allclose(ours, np.log1p(expected / FLOOR), rtol=1e-4, atol=1e-4)


def test_silence_is_zero_so_that_padding_is_silence():
    assert not CODEC.encode((np.zeros(4000, np.float32), 16_000))[0].any()


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 44_101])
def test_resampling_keeps_a_tone(rate):
    got = resample(tone(rate=rate), rate, 16_000)
    assert abs(len(got) - 16_000) <= 1
    middle = slice(1000, min(len(got), 16_000) - 1000)
    assert np.abs(got[middle] - tone()[middle]).max() < 5e-3


def test_resampling_removes_what_the_lower_rate_cannot_hold():
    assert np.abs(resample(tone(11_000, 48_000), 48_000, 16_000)[500:-500]).max() < 1e-2


@pytest.mark.parametrize("format, subtype, tolerance", [
    ("WAV", "PCM_16", 0.05), ("WAV", "FLOAT", 0.05), ("WAV", "PCM_24", 0.05), ("WAV", "PCM_U8", 0.5),
    ("FLAC", "PCM_16", 0.05), ("OGG", "VORBIS", 1.5), ("MP3", "MPEG_LAYER_III", 1.5),
])
@pytest.mark.parametrize("rate, channels", [(16_000, 1), (44_100, 2), (22_050, 1)])
def test_formats_rates_and_channels_give_the_same_picture(format, subtype, tolerance, rate, channels):
    samples = tone(600, rate) + noise(rate, 1)
    expected = CODEC.encode((samples, rate))[0]
    content = saved(np.stack([samples] * channels, 1), rate, format, subtype)
    got, extent = CODEC.encode(content)
    frames = min(got.shape[1], expected.shape[1])
    assert abs(extent.seconds - 1.0) < 0.1 and not extent.cut
    assert np.abs(got[:, 5 : frames - 10] - expected[:, 5 : frames - 10]).mean() < tolerance


def test_array_layouts_and_types():
    samples = noise()
    expected = CODEC.encode((samples, 16_000))[0]
    stereo = np.stack([samples, samples])
    for cell in ((stereo, 16_000), (stereo.T, 16_000), (samples.astype(np.float64), 16_000.0),
                 [samples.tolist(), 16_000], {"array": samples, "sampling_rate": 16_000, "path": None}):
        np.testing.assert_allclose(CODEC.encode(cell)[0], expected, atol=1e-4)
    whole = np.rint(samples * 32768).astype(np.int16)
    assert np.abs(CODEC.encode((whole, 16_000))[0] - expected).max() < 0.1


@pytest.mark.parametrize("samples", [
    np.zeros(0), np.zeros(1), np.ones(1), np.zeros(16_000), np.full(300, np.nan), np.full(300, np.inf),
    np.full(300, 1e300), np.array([0.1, np.nan, -np.inf, 0.2]), np.zeros((0, 2)), np.full(10, -(2**31), np.int32),
])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_silence_one_sample_empty_and_nan_are_finite(samples, rate):
    encoded, extent = CODEC.encode((samples, rate))
    assert encoded.shape[0] == 64 and encoded.shape[1] >= 1 and np.isfinite(encoded).all() and (encoded >= 0).all()
    assert extent.seconds == len(samples) / rate


def test_empty_and_nan_files():
    for content in (saved(np.zeros(0, np.float32), 16_000), saved(np.zeros(1, np.float32), 44_100, "FLAC"),
                    saved(np.full(100, np.nan, np.float32), 16_000, subtype="FLOAT")):
        encoded, _ = CODEC.encode(content)
        assert np.isfinite(encoded).all() and encoded.shape[1] >= 1


def test_max_seconds_from_training_rows_and_cut():
    short = [(noise(4_000, seed), 16_000) for seed in range(50)]
    codec = AudioCodec().fit([*short, (noise(160_000), 16_000)])
    assert codec.max_seconds == 0.5
    encoded, extent = codec.encode((noise(16_000), 16_000))
    assert extent.cut and extent.seconds == 1.0 and encoded.shape[1] == 51 == codec.describe()["max_frames"]
    whole = codec.encode((noise(8_000), 16_000))
    assert not whole[1].cut
    assert AudioCodec().fit([(noise(16_000 * 30), 16_000)]).max_seconds == 10.0
    for rate in (8_000, 22_050, 44_100, 44_101):
        assert codec.encode((noise(rate * 3), rate))[0].shape[1] <= codec.describe()["max_frames"]


def test_header_refuses_before_decoding():
    hour = saved(np.zeros(20_000, np.float32), 8_000)
    with pytest.raises(CellError) as caught:
        AudioCodec(limit_seconds=2.0, max_seconds=1.0).encode(hour)
    assert caught.value.code == "audio-too-long"
    with pytest.raises(CellError) as caught:
        AudioCodec(max_bytes=100).encode(hour)
    assert caught.value.code == "audio-too-large"
    for cell in ((np.zeros(10), 0), (np.zeros(10), 10**9), (np.zeros((3, 3, 3)), 8000), (np.zeros((2000, 100)), 8000),
                 object(), "", 3.0, (1, 2, 3), ("a", "b")):
        with pytest.raises(CellError):
            CODEC.encode(cell)


def test_damaged_files():
    rng = np.random.default_rng(0)
    for format in ("WAV", "FLAC", "OGG", "MP3"):
        content = saved(noise(), 16_000, format)
        for _ in range(40):
            damaged = bytearray(content)
            for place in rng.integers(0, min(len(content), 400), 4):
                damaged[place] = rng.integers(0, 256)
            try:
                assert np.isfinite(CODEC.encode(bytes(damaged))[0]).all()
            except CellError as error:
                assert error.code.startswith("audio-")
    for content in (b"", b"RIFF", b"no sound at all" * 50, saved(noise(), 16_000)[:30],
                    saved(noise(), 16_000, "FLAC")[:4000]):
        with pytest.raises(CellError) as caught:
            CODEC.encode(content)
        assert caught.value.code == "audio-unreadable"


def test_statistics_equal_numpy():
    cells = [(noise(seed=seed), 16_000) for seed in range(4)]
    codec = AudioCodec().fit([*cells, None, b"damaged"])
    values = np.concatenate([codec.encode(cell)[0].ravel() for cell in cells]).astype(np.float64)
    assert codec.mean == pytest.approx(values.mean()) and codec.std == pytest.approx(values.std())
    assert AudioCodec().fit([(np.zeros(100), 16_000)]).std == 1.0
    with pytest.raises(SchemaError, match="expected a readable sound"):
        AudioCodec().fit([None, b"damaged"])


def test_fields_trim_decode_json():
    long, short = CODEC.encode((noise(8_000), 16_000))[0], CODEC.encode((noise(1_600), 16_000))[0]
    field = CODEC.stack([long, None, short])
    assert field["log_mel"].shape == (3, 64, 51) and field["lengths"].tolist() == [51, 0, 11]
    trimmed = CODEC.trim({name: tensor[1:] for name, tensor in field.items()})
    assert trimmed["log_mel"].shape == (2, 64, 11)
    assert np.array_equal(trimmed["log_mel"][1].numpy(), short)
    power = mel_power(torch.from_numpy(noise(1_600)), hertz=16_000, mels=64, hop=160).numpy()
    np.testing.assert_allclose(CODEC.decode(short), power, rtol=1e-4, atol=1e-9)
    again = codec_from_json(msgspec.json.decode(to_json_bytes(CODEC.to_json())))
    assert again.to_json() == CODEC.to_json() and again.describe() == CODEC.describe()
    assert np.array_equal(again.encode((noise(), 22_050))[0], CODEC.encode((noise(), 22_050))[0])
    assert CODEC.encode(None) == (None, None)
