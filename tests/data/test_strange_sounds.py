"""Sounds as strangers send them: each is answered or listed by its row, never a traceback, nothing decoded in vain."""

import io
import struct
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import polars as pl
import pytest
import soundfile

from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_sound import Waves
from gradatim.data.codecs.audio import AudioCodec
from gradatim.data.fingerprints import look_at_sound
from gradatim.data.loader import encode_table
from gradatim.data.readers import read_table
from gradatim.data.table import Table
from gradatim.errors import CellError
from gradatim.evaluate.sound_drawing import spectrogram_of
from gradatim.evaluate.thumbnails import view_cell
from gradatim.problems import Problems
from gradatim.run import fit


def wav_header(rate: int, channels: int, bits: int, data: int, riff: int | None = None, form: int = 1) -> bytes:
    """A WAV header that promises `data` bytes of samples."""
    block = channels * bits // 8
    riff = 36 + data if riff is None else riff
    return (b"RIFF" + struct.pack("<I", riff & 0xFFFFFFFF) + b"WAVEfmt " +
            struct.pack("<IHHIIHH", 16, form, channels, rate, (rate * block) & 0xFFFFFFFF, block & 0xFFFF, bits) +
            b"data" + struct.pack("<I", data & 0xFFFFFFFF))


def written(samples: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def strangers() -> dict[str, tuple[bytes, str | None]]:
    """File name → content, and the code of the problem (None: it is answered)."""
    times = np.arange(12_000)
    tone = 0.4 * np.sin(times * 0.2)
    stereo = np.stack([tone, 0.1 * tone], 1)
    holes = tone.astype(np.float32)
    holes[::7], holes[5], holes[9] = np.nan, np.inf, -np.inf
    return {
        "plain.wav": (written(tone, 8000), None),
        "stereo.wav": (written(stereo, 8000), None),
        "five.wav": (written(np.stack([tone] * 5, 1), 8000), None),
        "eight_bits.wav": (written(tone, 8000, subtype="PCM_U8"), None),
        "fast.wav": (written(tone, 96_000), None),
        "a_law.wav": (written(tone, 8000, subtype="ALAW"), None),
        "tiny.wav": (written(tone[:80], 8000), None),
        "one_sample.wav": (written(tone[:1], 8000), None),
        "no_samples.wav": (written(tone[:0], 8000), None),
        "silence.flac": (written(0 * tone, 8000, "FLAC"), None),
        "not_numbers.wav": (written(holes, 8000, subtype="FLOAT"), None),
        "huge_numbers.wav": (written(1e30 * tone.astype(np.float32), 8000, subtype="FLOAT"), None),
        "wrong_ending.mp3": (written(tone, 8000, "FLAC"), None),
        "empty.wav": (b"", "audio-unreadable"),
        "text.wav": (b"this is no sound, it is a sentence\n" * 40, "audio-unreadable"),
        "truncated.flac": (written(np.random.default_rng(0).normal(size=30_000) / 9, 8000, "FLAC")[:9000],
                           "audio-unreadable"),
        "header_only.wav": (wav_header(8000, 1, 16, 16_000), None),
        "promises_hours.wav": (wav_header(8000, 1, 8, 2**31) + b"\x80" * 4000, None),
        "cut.ogg": (written(tone, 8000, "OGG", "VORBIS")[:300], "audio-unreadable"),
        "no_rate.wav": (wav_header(0, 1, 16, 100) + bytes(100), "audio-unreadable"),
        "slow_rate.wav": (wav_header(7, 1, 16, 100) + bytes(100), "audio-unreadable"),
        "many_channels.wav": (wav_header(8000, 900, 16, 18_000) + bytes(18_000), "audio-unreadable"),
        "promises_weeks.flac": (promising(2**36 - 1), "audio-too-long"),
        "promises_minutes.flac": (promising(8000 * 600), "audio-unreadable"),
        "../outside.wav": (written(tone, 8000), "audio-outside"),
        "nowhere.wav": (b"", "audio-missing"),
    }


def promising(frames: int) -> bytes:
    """Half a second of FLAC whose header promises so many samples."""
    content = bytearray(written(0.1 * np.sin(np.arange(4000) * 0.3), 8000, "FLAC"))
    content[21] = (content[21] & 0xF0) | (frames >> 32)
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(content)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("strangers") / "table"
    folder.mkdir()
    for name, (content, _) in strangers().items():
        if name != "nowhere.wav":
            (folder / name).write_bytes(content)
    (folder / "a_folder.wav").mkdir()
    return Table(pl.DataFrame({"voice": [*strangers(), "a_folder.wav", None]}), folder)


def expected() -> list[str | None]:
    return [code for _, code in strangers().values()] + ["audio-unreadable", "missing"]


def test_every_stranger_is_answered_or_listed_by_its_row(table: Table) -> None:
    codec = AudioCodec(max_seconds=1.0).fit(table.cells("voice"), table.folder)
    assert np.isfinite([codec.mean, codec.std]).all()
    problems = Problems()
    encoded = encode_table(table, {"voice": codec}, problems=problems)
    listed = {problem.row: problem.code for problem in problems.items if problem.row is not None}
    for row, code in enumerate(expected()):
        assert bool(encoded.present["voice"][row]) == (code is None), table.cells("voice")[row]
        assert listed.get(row) == (None if code == "missing" else code), table.cells("voice")[row]
    field = encoded.fields["voice"]
    assert isinstance(field, dict) and bool(field["log_mel"].isfinite().all())
    for problem in problems.items:
        assert "\n" not in problem.message and len(problem.message) < 400


def test_strangers_pass_augmentation(table: Table) -> None:
    loud = Augmentation(gain=20, snr=1, shift=0.9, speed=0.5)
    waves = Waves.of(table, "voice", AudioCodec(max_seconds=1.0), loud)
    field, present = waves.field(np.arange(len(table)), seed=0, epoch=0)
    assert present.tolist() == [code is None for code in expected()]
    assert bool(field["log_mel"].isfinite().all()) and field["lengths"].tolist()[-1] == 0


def test_strangers_are_shown_and_compared_without_a_traceback(table: Table) -> None:
    for cell, code in zip(table.cells("voice"), expected()):
        view = view_cell("voice", "audio", cell, table.folder)
        drawn = spectrogram_of(cell, table.folder)
        if code is None:
            assert " Hz" in view.note and drawn is not None and np.isfinite(drawn[0]).all()
        else:
            assert view.image == "" and view.note and drawn is None
        try:
            look_at_sound(cell, table.folder)
        except CellError as error:
            assert code is not None and error.code.startswith("audio-")


def test_channels_rates_and_bits_say_the_same(table: Table) -> None:
    codec = AudioCodec(max_seconds=1.0)
    plain = codec.encode("plain.wav", table.folder)[0]
    assert plain is not None
    for name, most in (("wrong_ending.mp3", 0.05), ("five.wav", 0.01), ("eight_bits.wav", 0.3), ("a_law.wav", 0.5)):
        other = codec.encode(name, table.folder)[0]
        assert other is not None and np.abs(other - plain)[plain > 10].max() < most, name
    stereo = codec.encode("stereo.wav", table.folder)[0]  # the mean of 1 and 0.1 of it: a power of 0.3025
    assert stereo is not None
    loud = plain > 8
    np.testing.assert_allclose((stereo - plain)[loud], np.log(0.3025), atol=0.02)


def test_a_promise_costs_neither_time_nor_memory() -> None:
    for content in (promising(2**36 - 1), promising(8000 * 3000), wav_header(8000, 1, 8, 2**32 - 1) + bytes(4000)):
        tracemalloc.start()
        began = time.perf_counter()
        with suppress(CellError):
            AudioCodec(max_seconds=1.0).encode(content)
        view_cell("voice", "audio", content, None)
        spent, (_, most) = time.perf_counter() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert spent < 3 and most < 50 * 2**20


@pytest.mark.slow
def test_a_run_is_fitted_beside_strangers_and_answers_them(table: Table) -> None:
    assert table.folder is not None
    names = list(strangers())
    for row in range(40):
        wave = 0.3 * np.sin(np.arange(4000 + 10 * row) * (0.2 + 0.3 * (row % 2) + 0.001 * row))
        (table.folder / f"good{row}.wav").write_bytes(written(wave, 8000))
        names.append(f"good{row}.wav")
    labels = [("low", "high")[row % 2] for row in range(len(strangers()))]
    labels += [("low", "high")[row % 2] for row in range(40)]
    pl.DataFrame({"voice": names, "pitch": labels}).write_csv(table.folder / "all.csv")
    run = fit(table.folder / "all.csv", target="pitch", epochs=1, minutes=0.5, ledger="none",
              augment=("speed=0.1,snr=10",))
    problems = Problems()
    answers = run.predict(read_table(table.folder / "all.csv"), problems=problems).frame
    assert len(answers) == len(names) and answers["prediction"].null_count() == 0
    listed = {problem.row: problem.code for problem in problems.items if problem.row is not None}
    assert listed == {row: code for row, (_, code) in enumerate(strangers().values()) if code is not None}
