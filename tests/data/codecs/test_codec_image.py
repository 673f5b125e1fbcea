"""Pictures: every mode and orientation against Pillow done by hand, limits, damaged files, measured statistics."""

import io
import os
import struct
import time
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from gradatim.data.codecs import codec_from_json
from gradatim.data.codecs.image import MARGIN, ImageCodec
from gradatim.errors import CellError, SchemaError
from gradatim.files import to_json_bytes


def pattern(height=20, width=20, channels=3, seed=0):
    """A smooth picture without symmetry, so that turns show."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [np.clip(255 * (0.2 + 0.6 * (k + 1) * x / width / 3 + 0.3 * y / height * (k == 0)), 0, 255)
              for k in range(channels)]
    array = np.stack(planes, -1).astype(np.uint8)
    return array[..., 0] if channels == 1 else array


def saved(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def codec_of(size=20, channels=3, **options):
    return ImageCodec(size=size, channels=channels, **options).fit([pattern()])


def rgb(codec, cell, folder=None):
    return codec.encode(cell, folder)[0].transpose(1, 2, 0).astype(int)


def test_plain_rgb_is_kept_to_the_byte():
    codec = codec_of()
    for cell in (pattern(), Image.fromarray(pattern()), saved(Image.fromarray(pattern())), pattern().transpose(2, 0, 1),
                 pattern().tolist(), {"bytes": saved(Image.fromarray(pattern())), "path": None}):
        assert np.array_equal(rgb(codec, cell), pattern())


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "WEBP", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_pillow_turns_it(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(pattern(16, 24)), format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    encoded, framing = codec_of(24).encode(content)
    left, top, width, height = framing.box
    assert (width, height) == expected.size == framing.original
    inner = encoded.transpose(1, 2, 0)[top : top + height, left : left + width]
    assert np.abs(inner.astype(int) - np.asarray(expected).astype(int)).max() <= 1


def test_transparency_lies_over_white():
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[:, 10:] = (200, 100, 0, 128)
    got = rgb(codec_of(), saved(Image.fromarray(rgba)))
    assert (got[:, :10] == 255).all()
    expected = [round(c * 128 / 255 + 255 * 127 / 255) for c in (200, 100, 0)]
    assert np.abs(got[:, 10:] - expected).max() <= 1
    grey_alpha = Image.fromarray(np.dstack([np.full((20, 20), 50, np.uint8), np.zeros((20, 20), np.uint8)]), "LA")
    assert (rgb(codec_of(), saved(grey_alpha)) == 255).all()


def test_palette_with_and_without_a_transparent_entry():
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert (rgb(codec_of(), saved(palette)) == [10, 200, 30]).all()
    assert (rgb(codec_of(), saved(palette, transparency=1)) == 255).all()


def test_one_bit_grey_and_cmyk():
    assert (rgb(codec_of(), saved(Image.new("1", (20, 20), 1))) == 255).all()
    assert (rgb(codec_of(), saved(Image.new("L", (20, 20), 77))) == 77).all()
    cmyk = Image.new("CMYK", (20, 20), (0, 255, 255, 0))
    for format in ("TIFF", "JPEG"):
        red = rgb(codec_of(), saved(cmyk, format))
        assert (red[..., 0] > 200).all() and (red[..., 1:] < 60).all()


def test_sixteen_bits_by_the_white_level_of_the_training_rows():
    ramp = np.linspace(0, 4000, 400).reshape(20, 20).astype(np.uint16)
    content = saved(Image.fromarray(ramp))
    codec = ImageCodec(size=20).fit([content])
    assert codec.white == 4095 and codec.channels == 1
    assert np.array_equal(codec.encode(content)[0][0], np.rint(ramp * (255 / 4095)).astype(np.uint8))
    assert np.array_equal(codec.encode(ramp)[0], codec.encode(content)[0])
    full = ImageCodec(size=20).fit([ramp * 16])
    assert full.white == 65535
    over = codec.encode(ramp * 16)[0]  # brighter than any training picture: saturated, not wrapped round
    assert over.max() == 255 and over[0, -1, -1] == 255


def test_float_pictures():
    ramp = np.linspace(0, 1, 400).reshape(20, 20).astype(np.float32)
    expected = np.rint(ramp * 255).astype(np.uint8)
    codec = ImageCodec(size=20).fit([ramp])
    assert np.array_equal(codec.encode(ramp)[0][0], expected)
    assert np.array_equal(codec.encode(saved(Image.fromarray(ramp), "TIFF"))[0][0], expected)
    for bad in (ramp * 2, ramp - 1, np.full((4, 4), np.nan)):
        with pytest.raises(CellError, match="floats in 0…1"):
            codec.encode(bad)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if format == "WEBP" else {}
        content = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert (rgb(codec_of(), content) == [255, 0, 0]).all(), format


def test_padding_keeps_the_aspect_and_stretching_does_not():
    wide = np.full((10, 20, 3), 255, np.uint8)
    encoded, framing = codec_of().encode(wide)
    assert framing.box == (0, 5, 20, 10) and framing.original == (20, 10)
    assert (encoded[:, 5:15] == 255).all() and (encoded[:, :5] == MARGIN).all() and (encoded[:, 15:] == MARGIN).all()
    assert (codec_of(fit="stretch").encode(wide)[0] == 255).all()
    assert codec_of().encode(np.zeros((1, 5000), np.uint8))[0].shape == (3, 20, 20)


def test_decode_restores_the_picture_without_margins():
    codec = codec_of(40)
    for height, width in ((20, 40), (40, 20), (40, 40)):
        array = pattern(height, width)
        back = codec.decode(*codec.encode(array))
        assert np.array_equal(np.asarray(back), array)
    shrunk = codec.decode(*codec.encode(pattern(80, 160)))
    assert shrunk.size == (160, 80)
    assert np.abs(np.asarray(shrunk).astype(int) - pattern(80, 160)).mean() < 3
    assert codec.decode(torch.ones(3, 4, 4) * 0.5).getpixel((0, 0)) == (128, 128, 128)


def test_jpeg_reduced_while_decoding_looks_like_one_decoded_whole():
    content = saved(Image.fromarray(pattern(800, 1000)), "JPEG", quality=95)
    whole = Image.open(io.BytesIO(content)).convert("RGB").resize((32, 26), Image.Resampling.BILINEAR)
    encoded, framing = codec_of(32).encode(content)
    assert framing.original == (1000, 800)
    assert np.abs(encoded[:, 3:29].transpose(1, 2, 0).astype(int) - np.asarray(whole)).max() <= 3


def test_a_callers_picture_is_left_alone(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(pattern(400, 400)).save(path)
    with Image.open(path) as image:
        codec_of(20).encode(image)
        assert image.size == (400, 400)


def test_size_and_channels_chosen_from_training_pictures():
    assert ImageCodec().fit([pattern(30, 50)]).size == 32
    assert ImageCodec().fit([pattern(28, 28, 1)]).size == 28
    assert ImageCodec().fit([pattern(3, 3)]).size == 16
    assert ImageCodec().fit([pattern(500, 300)]).size == 96
    assert ImageCodec(size=48).fit([pattern(500, 300)]).size == 48
    grey_as_rgb = np.repeat(pattern(28, 28, 1)[..., None], 3, -1)
    assert ImageCodec().fit([grey_as_rgb]).channels == 1
    assert ImageCodec().fit([grey_as_rgb, pattern(28, 28)]).channels == 3
    assert ImageCodec(channels=3).fit([grey_as_rgb]).channels == 3
    assert ImageCodec(channels=1).fit([pattern()]).encode(pattern())[0].shape[0] == 1


def test_statistics_equal_numpy_and_leave_margins_out():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (16, 32, 3), dtype=np.uint8) for _ in range(5)]
    codec = ImageCodec(size=32).fit(pictures)
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in pictures]) / 255
    np.testing.assert_allclose(codec.mean, pixels.mean(0), rtol=1e-9)
    np.testing.assert_allclose(codec.std, pixels.std(0), rtol=1e-9)
    assert ImageCodec().fit([np.zeros((8, 8), np.uint8)]).std == (1 / 255,)


def test_json_round_trip():
    for codec in (codec_of(24, None), ImageCodec(fit="stretch").fit([pattern(28, 28, 1)])):
        again = codec_from_json(msgspec.json.decode(to_json_bytes(codec.to_json())))
        assert again.to_json() == codec.to_json() and again.describe() == codec.describe()
        assert np.array_equal(again.encode(pattern(33, 21))[0], codec.encode(pattern(33, 21))[0])


def bomb(width, height):
    """A PNG of a few bytes that promises width × height pixels."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [8001, 20_000, 2**31 - 1])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_by_their_header(side):
    started = time.perf_counter()
    with pytest.raises(CellError) as caught:
        codec_of().encode(bomb(side, side))
    assert caught.value.code in ("image-too-large", "image-unreadable")
    assert time.perf_counter() - started < 0.5


def test_damaged_files_are_unreadable():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    cases = [b"", b"x", b"not a picture at all", bomb(50, 50), b"<svg xmlns='http://www.w3.org/2000/svg'/>",
             b"%!PS-Adobe-3.0 EPSF-3.0"]
    for format in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        content = saved(noise, format)
        cases += [content[: len(content) // 2], content[:20]]
    for content in cases:
        with pytest.raises(CellError) as caught:
            codec_of().encode(content)
        assert caught.value.code == "image-unreadable"


def test_flipped_bytes_never_raise_anything_else():
    rng = np.random.default_rng(1)
    codec = codec_of()
    for format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        content = saved(Image.fromarray(pattern(24, 24)), format)
        for _ in range(60):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), 3):
                damaged[place] = rng.integers(0, 256)
            try:
                assert codec.encode(bytes(damaged))[0].shape == (3, 20, 20)
            except CellError as error:
                assert error.code.startswith("image-")


def test_file_cells(tmp_path):
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(pattern()).save(folder / "sub" / "a.png")
    Image.fromarray(pattern()).save(tmp_path / "outside.png")
    os.symlink(tmp_path / "outside.png", folder / "link.png")
    os.symlink("sub/a.png", folder / "inside.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "empty.png").touch()
    codec = codec_of()
    for cell in ("sub/a.png", "./sub/a.png", "sub/../sub/a.png", "inside.png", Path("sub/a.png"),
                 str(folder / "sub" / "a.png")):
        assert np.array_equal(rgb(codec, cell, folder), pattern()), cell
    assert np.array_equal(rgb(codec, str(folder / "sub/a.png")), pattern())  # a frame without a folder
    for cell, code in [
        ("none.png", "missing"), ("nowhere/a.png", "missing"), ("../outside.png", "outside"), ("link.png", "outside"),
        ("/etc/passwd", "outside"), ("sub", "unreadable"), (".", "unreadable"), ("pipe.png", "unreadable"),
        ("empty.png", "unreadable"), ("a\0b", "unreadable"), ("", "unreadable"), ("x" * 100_000, "unreadable"),
        ("\x1b[31m.png", "missing"),
    ]:
        with pytest.raises(CellError) as caught:
            codec.encode(cell, folder)
        assert caught.value.code == f"image-{code}", cell
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()
    with pytest.raises(CellError) as caught:
        codec_of(max_bytes=10).encode("sub/a.png", folder)
    assert caught.value.code == "image-too-large"


def test_missing_and_stack():
    codec = codec_of()
    assert codec.encode(None) == (None, None)
    field = codec.stack([codec.encode(pattern())[0], None])
    assert field.shape == (2, 3, 20, 20) and field.dtype == torch.uint8 and not field[1].any()
    for cell in (object(), 3.5, np.zeros((2, 2, 2, 2)), np.zeros((0, 3)), np.zeros((5, 5, 7)), [[1], [2, 3]]):
        with pytest.raises(CellError):
            codec.encode(cell)


def test_nothing_readable_to_fit_on(tmp_path):
    with pytest.raises(SchemaError, match="expected a readable picture"):
        ImageCodec().fit(["none.png", None], tmp_path)
    codec = ImageCodec().fit(["none.png", pattern()], tmp_path)
    assert codec.size == 20
