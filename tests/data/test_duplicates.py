"""Duplicates: copies of a picture, sound or long text are tied, different ones of the same class are not."""

import io
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from gradatim.data.duplicates import Match, Ties, apply, find_ties, largest_tie
from gradatim.data.fingerprints import look_at_picture, look_at_sound
from gradatim.data.neighbours import near_texts, text_likeness, waves_agree
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import CellError
from gradatim.problems import Problems

PICTURE = Schema((Column("picture", "image", "input"),))
SOUND = Schema((Column("sound", "audio", "input"),))
TEXT = Schema((Column("text", "text", "input"), Column("x", "number", "input")))


def photographs() -> dict[str, Image.Image]:
    skimage = pytest.importorskip("skimage")
    folder = Path(skimage.__file__).parent / "data"
    names = ("coffee.png", "camera.png", "astronaut.png", "chelsea.png", "rocket.jpg", "coins.png", "cell.png",
             "motorcycle_left.png", "text.png", "brick.png", "gravel.png", "grass.png")
    return {name: Image.open(folder / name) for name in names if (folder / name).exists()}


def encoded(picture: Image.Image, **how) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, **how)
    return stream.getvalue()


def ties_of(cells: list, schema: Schema = PICTURE, **others) -> Ties:
    name = schema.columns[0].name
    series = pl.Series(name, cells, dtype=pl.Object if not isinstance(cells[0], str | bytes) else None)
    return find_ties(Table(pl.DataFrame([series, *(pl.Series(key, value) for key, value in others.items())])), schema)


def test_copies_of_a_photograph_are_tied():
    for name, photograph in photographs().items():
        plain = photograph.convert("RGB")
        width, height = plain.size
        copies = {
            "original": encoded(photograph, format="PNG"),
            "re-encoded 75": encoded(plain, format="JPEG", quality=75),
            "re-encoded 30": encoded(plain, format="JPEG", quality=30),
            "half": encoded(plain.resize((width // 2, height // 2), Image.Resampling.LANCZOS), format="PNG"),
            "double webp": encoded(plain.resize((width * 2, height * 2), Image.Resampling.BICUBIC), format="WEBP"),
        }
        strangers = [np.random.default_rng(i).integers(0, 255, (9, 9, 3), np.uint8) for i in range(50)]
        found = ties_of(list(copies.values()) + [encoded(Image.fromarray(s), format="PNG") for s in strangers])
        assert set(found.labels[:5].tolist()) == {0}, (name, found.labels[:5])
        assert found.tied == 5


def test_flips_turns_crops_and_other_photographs_are_not_tied():
    cells = []
    for photograph in photographs().values():
        plain = photograph.convert("RGB")
        width, height = plain.size
        cells += [plain, plain.transpose(Image.Transpose.FLIP_LEFT_RIGHT), plain.rotate(90, expand=True),
                  plain.crop((width // 4, height // 4, width, height)), Image.eval(plain, lambda v: 255 - v)]
    assert ties_of(cells).tied == 0


def test_a_small_thing_moved_on_the_same_background_is_another_picture():
    background = photographs()["chelsea.png"].convert("RGB").resize((64, 64))
    cells = []
    for place in range(0, 56, 8):
        scene = background.copy()
        scene.paste((250, 40, 40), (place, 20, place + 8, 28))
        cells.append(scene)
    assert ties_of(cells + [background]).tied == 0


def test_other_colours_are_another_picture():
    random = np.random.default_rng(0)
    shape = np.kron(random.integers(0, 2, (8, 8)), np.ones((8, 8)))[..., None]
    # Two colours of equal luma (0.299 R + 0.587 G + 0.114 B): alike in grey.
    red, green = shape * [196, 0, 0], shape * [0, 100, 0]
    grey = [np.asarray(Image.fromarray(a.astype(np.uint8)).convert("L")).astype(int) for a in (red, green)]
    assert np.abs(grey[0] - grey[1]).max() <= 1
    assert ties_of([Image.fromarray(a.astype(np.uint8)) for a in (red, green)]).tied == 0


def test_pictures_of_one_class_are_not_tied():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    pictures = [Image.fromarray((image * 15.9).astype(np.uint8)).resize((28, 28)) for image in digits.images[:600]]
    found = ties_of(pictures)
    assert found.tied <= 2 and len(found.refused) == 0


def test_blank_pictures_are_equal_but_never_near():
    blank = [Image.new("RGB", (20, 20), (value, value, value)) for value in range(100, 110)]
    assert ties_of(blank).tied == 0
    assert ties_of(blank + blank).tied == 20


def test_equal_pixels_in_other_files_modes_and_containers_are_the_same():
    grey = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    picture = Image.fromarray(grey)
    digests = {
        look_at_picture(cell, None).digest
        for cell in (
            grey, picture, picture.convert("RGB"), encoded(picture, format="PNG"), encoded(picture, format="BMP"),
            {"bytes": encoded(picture.convert("RGBA"), format="PNG")}, encoded(picture, format="GIF"),
        )
    }
    assert len(digests) == 1
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: shown turned by 270°
    assert look_at_picture(encoded(turned, format="PNG", exif=exif), None).digest in digests


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_every_picture_mode_is_read(mode):
    array = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    picture = Image.fromarray(array.astype(np.uint16)[..., 0] * 257) if mode == "I;16" else (
        Image.fromarray(array).convert(mode)
    )
    assert look_at_picture(picture, None).grey.shape == (32, 32)


def test_unreadable_cells_are_problems_not_exceptions(tmp_path):
    good = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9), np.uint8)), format="PNG")
    (tmp_path / "good.png").write_bytes(good)
    (tmp_path / "cut.png").write_bytes(good[:60])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    cells = ["good.png", "cut.png", "text.png", "empty.png", "folder.png", "absent.png", "../secret.png", "/etc/passwd",
             "nul\x00.png", None, "", "good.png"]
    table = Table(pl.DataFrame({"picture": cells}), tmp_path, lines=np.arange(2, 14))
    problems = Problems()
    found = find_ties(table, PICTURE, problems=problems)
    assert found.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]
    assert [(problem.row, problem.code) for problem in problems] == [
        (1, "image-unreadable"), (2, "image-unreadable"), (3, "image-unreadable"),
        (4, "image-unreadable"), (5, "image-missing"), (6, "image-outside"), (7, "image-outside"),
        (8, "image-unreadable"),
    ]
    assert problems.items[0].line == 3


def test_links_that_lead_outside_are_refused(tmp_path):
    (tmp_path / "outside.png").write_bytes(encoded(Image.new("L", (4, 4)), format="PNG"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "outside.png")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    for name in ("link.png", "up/outside.png"):
        with pytest.raises(CellError, match="leads outside"):
            look_at_picture(name, tmp_path / "data")


def test_a_bomb_is_refused_from_its_header():
    # A PNG header that says 60,000 × 60,000 with no pixels behind it.
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    bomb += struct.pack(">I", 1000) + b"IDAT"
    with pytest.raises(CellError) as caught:
        look_at_picture(bomb, None)
    assert caught.value.code == "image-too-large"
    with pytest.raises(CellError, match="at most 50 pixels"):
        look_at_picture(Image.new("L", (10, 10)), None, max_pixels=50)


def speech(seed: int, hertz: int = 16_000, seconds: float = 0.8) -> np.ndarray:
    """Something like speech: a gliding pitch with harmonics, shaped in syllables, and some noise."""
    random = np.random.default_rng(seed)
    t = np.arange(int(hertz * seconds)) / hertz
    pitch = random.uniform(100, 220) * (1 + 0.3 * np.sin(2 * np.pi * random.uniform(1, 4) * t + random.uniform(0, 6)))
    wave = sum(random.uniform(0.1, 1) * np.sin(k * 2 * np.pi * np.cumsum(pitch) / hertz) for k in range(1, 8))
    wave = wave * (0.2 + np.sin(np.pi * random.uniform(2, 5) * t + random.uniform(0, 3)) ** 2)
    return (0.1 * wave + 0.002 * random.normal(size=len(t))).astype(np.float32)


def test_copies_of_a_sound_are_tied_and_other_sounds_are_not(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    from scipy.signal import resample_poly

    for index in range(40):
        soundfile.write(tmp_path / f"{index:02d}.wav", speech(index), 16_000)
    wave = speech(3)
    soundfile.write(tmp_path / "copy.flac", wave, 16_000)
    soundfile.write(tmp_path / "quiet.wav", 0.3 * wave, 16_000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([wave, wave], axis=1), 16_000)
    soundfile.write(tmp_path / "slow.wav", resample_poly(wave, 441, 320).astype(np.float32), 22_050)
    soundfile.write(tmp_path / "lossy.mp3", wave, 16_000)
    soundfile.write(tmp_path / "lossy.ogg", wave, 16_000)
    soundfile.write(tmp_path / "padded.wav", np.concatenate([np.zeros(3000, np.float32), wave]), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    soundfile.write(tmp_path / "silent.wav", np.zeros(100, np.float32), 16_000)
    soundfile.write(tmp_path / "short.wav", np.ones(1, np.float32), 16_000)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    problems = Problems()
    found = find_ties(Table(pl.DataFrame({"sound": names}), tmp_path), SOUND, problems=problems)
    tied = {names[row] for row in np.flatnonzero(found.labels == found.labels[names.index("03.wav")])}
    assert len(found.refused) == 1, "eight copies in fifty rows are over the limit"
    match = next(match for match in found.matches if match.how == "near")
    assert {names[row] for row in match.groups[0]} == {"03.wav", "copy.flac", "quiet.wav", "stereo.wav", "slow.wav",
                                                       "lossy.mp3", "lossy.ogg", "padded.wav"}
    assert len(match.groups) == 1
    assert tied <= {"03.wav", "stereo.wav", "copy.flac"}, "what is equal sample by sample is a tie of its own"
    assert problems.counts() == {"audio-unreadable": 1}


def test_sounds_in_memory_and_lossless_copies_have_one_digest(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    integers = np.round(speech(0) * 32767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", integers, 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "a.flac", integers, 16_000, subtype="PCM_16")
    content, wave = (tmp_path / "a.wav").read_bytes(), integers / 32768
    cells = ["a.wav", "a.flac", {"array": wave, "sampling_rate": 16_000}, (wave, 16_000), content]
    assert len({look_at_sound(cell, tmp_path).digest for cell in cells}) == 1


def test_waves_agree_only_with_themselves():
    waves = [speech(seed, 8_000) for seed in range(10)]
    for i, a in enumerate(waves):
        for j, b in enumerate(waves):
            assert waves_agree(a, b) == (i == j)
    assert not waves_agree(waves[0], waves[0][:2000]) and not waves_agree(np.zeros(0), np.zeros(0))


def random_texts(count: int, words: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    vocabulary = ["".join(random.choice(list("abcdefghijklmnop"), random.integers(2, 9))) for _ in range(3000)]
    return [" ".join(random.choice(vocabulary, words)) for _ in range(count)]


def test_long_text_is_tied_when_nearly_the_same_and_short_text_is_only_found():
    texts = random_texts(300, 40)
    texts[10] = texts[20].upper().replace(" ", "\n ")
    texts[11] = texts[21] + " indeed"
    texts[12] = " ".join(texts[22].split()[:20] + texts[23].split()[20:])  # half of another: not the same
    texts[30] = texts[31] = "a short text"
    found = ties_of(texts, TEXT, x=list(range(300)))
    assert [(match.how, [group.tolist() for group in match.groups]) for match in found.matches] == [
        ("same", [[10, 20]]), ("near", [[11, 21]]), ("same-short-text", [[30, 31]]),
    ]
    assert found.tied == 4 and found.labels[10] == found.labels[20] and found.labels[30] != found.labels[31]


@pytest.mark.parametrize("seed", range(3))
def test_near_texts_equal_brute_force(seed):
    random = np.random.default_rng(seed)
    texts: list[str | None] = list(random_texts(150, 40, seed))
    for row in range(75, 150):
        words = (texts[row - 75] or "").split()
        for _ in range(int(random.integers(0, 6))):
            words[int(random.integers(0, len(words)))] = "changed"
        texts[row] = " ".join(words)
    pairs, _ = near_texts(texts, np.arange(150))
    every = [(a, b) for a in range(150) for b in range(a + 1, 150)]
    brute = {(a, b) for a, b in every if text_likeness(texts[a] or "", texts[b] or "") >= 0.8}
    found = set(map(tuple, pairs.tolist()))
    assert found <= brute and len(found) >= 0.97 * len(brute)


def test_rows_tie_when_all_inputs_are_the_same_and_not_when_one_differs():
    schema = Schema((Column("a", "number", "input"), Column("b", "text", "input"), Column("y", "category", "target")))
    frame = pl.DataFrame({"a": ["1", "1.0", "1", "2", None, None], "b": ["Cat", "cat ", "dog", "cat", None, None],
                          "y": list("abcabc")})
    assert find_ties(Table(frame), schema).labels.tolist() == [0, 0, 1, 2, 3, 4]


def test_a_placeholder_picture_is_reported_and_not_tied():
    random = np.random.default_rng(0)
    placeholder = encoded(Image.fromarray(random.integers(0, 255, (8, 8), np.uint8)), format="PNG")
    others = [encoded(Image.fromarray(random.integers(0, 255, (8, 8), np.uint8)), format="PNG") for _ in range(400)]
    cells = [placeholder] * 30 + others + others[:5]
    schema = Schema((Column("picture", "image", "input"), Column("x", "number", "input")))
    found = ties_of(cells, schema, x=list(range(len(cells))))
    assert found.tied == 10
    assert len(found.refused) == 1 and "30 rows hold the same" in found.refused[0]


def test_a_chain_over_the_limit_is_not_applied_but_surer_ties_are():
    sure = Match(None, "row", "same-inputs", (np.array([0, 1]),))
    chain = Match("p", "image", "near", tuple(np.array([row, row + 1]) for row in range(0, 30)))
    apart = Match("p", "image", "near", (np.array([90, 91]),))
    labels, refused = apply([sure, chain, apart], 200)
    assert labels[0] == labels[1] and labels[90] == labels[91]
    assert len(np.unique(labels)) == 198 and len(refused) == 1 and "chain" in refused[0]


def test_the_limit_is_one_percent_and_sensible_when_small():
    assert [largest_tie(rows) for rows in (1, 20, 100, 1000, 60_000)] == [2, 2, 10, 10, 600]


def test_no_rows_and_no_inputs():
    assert find_ties(Table(pl.DataFrame({"picture": pl.Series([], dtype=pl.String)})), PICTURE).labels.tolist() == []
    assert find_ties(Table(pl.DataFrame({"y": ["a", "a"]})), Schema((Column("y", "category", "target"),))).tied == 0


def test_a_hundred_thousand_rows_in_seconds():
    random = np.random.default_rng(0)
    schema = Schema(tuple(Column(f"c{i}", "number", "input") for i in range(10)))
    frame = pl.DataFrame({f"c{i}": random.integers(0, 10, 100_000).astype(str) for i in range(10)})
    started = time.process_time()
    find_ties(Table(frame), schema)
    assert time.process_time() - started < 8


def test_many_blank_like_pictures_do_not_explode():
    random = np.random.default_rng(0)
    faint = [np.clip(128 + 5 * random.normal(size=(8, 8)), 0, 255).astype(np.uint8) for _ in range(4000)]
    started = time.process_time()
    found = ties_of(faint)
    assert time.process_time() - started < 20 and found.tied <= 40
