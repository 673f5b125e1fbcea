"""The loader: memory and stream give the same bits, missing cells stay missing, problems name their line."""

import time

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from PIL import Image

from gradatim.data.codecs import codec_for
from gradatim.data.codecs.image import ImageCodec
from gradatim.data.loader import CHUNK, batch_order, encode_table
from gradatim.data.schema import Column
from gradatim.data.table import Table
from gradatim.errors import DataError
from gradatim.problems import Problems

KINDS = {"photo": "image", "sound": "audio", "words": "text", "size": "number", "colour": "category", "y": "category"}
INPUTS = [name for name in KINDS if name != "y"]
ROWS = 8 * CHUNK + 37  # several chunks, the last one short


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for index in range(40):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"{index}.png")
        soundfile.write(folder / f"{index}.wav", 0.1 * rng.standard_normal(400 * (index + 1)), 8_000)
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:100])
    words = np.array(["a", "cat", "dog", "bus", "the", "in", "sun"])
    frame = pl.DataFrame({
        "photo": [f"{i % 40}.png" for i in range(ROWS)], "sound": [f"{i % 40}.wav" for i in range(ROWS)],
        "words": [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(ROWS)],
        "size": [str(i) for i in range(ROWS)], "colour": [f"c{i % 5}" for i in range(ROWS)],
        "y": [str(i % 3) for i in range(ROWS)],
    })
    frame[3, "photo"], frame[5, "photo"], frame[6, "photo"] = None, "gone.png", "broken.png"
    frame[7, "size"], frame[8, "words"], frame[9, "y"] = "many", None, None
    return Table(frame, folder, lines=np.arange(ROWS) + 2)


@pytest.fixture(scope="module")
def codecs(table):
    return {name: codec_for(Column(name, kind, "input"), target=name == "y").fit(table.cells(name), table.folder)
            for name, kind in KINDS.items()}


def equal(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
    return torch.equal(left, right)


def assert_same(left, right):
    assert np.array_equal(left.rows, right.rows)
    for name in left.inputs:
        assert equal(left.inputs[name], right.inputs[name]), name
    for name in left.targets:
        assert equal(left.targets[name], right.targets[name]), name
    for name in left.present:
        assert torch.equal(left.present[name], right.present[name]), name


def test_memory_and_stream_are_equal_to_the_bit(table, codecs):
    seen, again = Problems(), Problems()
    memory = encode_table(table, codecs, problems=seen)
    stream = encode_table(table, codecs, problems=again, budget_bytes=200_000)
    assert not memory.streamed and set(stream.streamed) == {"photo", "sound"}
    assert seen.items == again.items
    order = batch_order(np.arange(ROWS), 64, seed=0, epoch=1)
    for left, right in zip(memory.batches(order, INPUTS, ["y"]), stream.batches(order, INPUTS, ["y"]), strict=True):
        assert_same(left, right)
    assert all(torch.equal(memory.present[name], stream.present[name]) for name in KINDS)
    everything = encode_table(table, codecs, budget_bytes=0)
    plain = {"size", "colour", "y"}  # numbers and categories take a few bytes a row
    assert set(everything.streamed) == set(KINDS) - plain
    rows = np.array([9, 3, 7, 5, 500])
    assert_same(memory.batch(rows, INPUTS, ["y"]), everything.batch(rows, INPUTS, ["y"]))


def test_threads_change_nothing(table, codecs, monkeypatch):
    monkeypatch.setattr("gradatim.data.loader.THREADS_FROM", -1.0)
    threaded = encode_table(table, codecs, workers=3)
    monkeypatch.setattr("gradatim.data.loader.THREADS_FROM", 1e9)
    rows = np.arange(ROWS)
    assert_same(threaded.batch(rows, INPUTS, ["y"]), encode_table(table, codecs).batch(rows, INPUTS, ["y"]))


def test_every_row_is_its_own(table, codecs):
    """Row by row against the codec alone: no cell ever comes from another row."""
    encoded = encode_table(table, codecs)
    for row in [0, 4, 5, 6, CHUNK - 1, CHUNK, ROWS - 1]:
        batch = encoded.batch(np.array([row]), INPUTS)
        for name in INPUTS:
            try:
                value = codecs[name].encode(table.cells(name)[row], table.folder)[0]
            except ValueError:
                value = None
            assert equal(batch.inputs[name], codecs[name].trim(codecs[name].stack([value])))
            assert bool(batch.present[name][0]) == (value is not None)


def test_problems_name_row_and_line(table, codecs):
    problems = Problems()
    encoded = encode_table(table, codecs, problems=problems)
    found = {(found.code, found.column, found.row, found.line) for found in problems if found.row is not None}
    assert found == {("image-missing", "photo", 5, 7), ("image-unreadable", "photo", 6, 8),
                     ("number-unreadable", "size", 7, 9)}
    assert (~encoded.present["photo"]).nonzero()[:, 0].tolist() == [3, 5, 6]
    assert (~encoded.present["y"]).nonzero()[:, 0].tolist() == [9]
    assert not encoded.fields["photo"][[3, 5, 6]].any()


def test_unknown_label_of_a_test_file_is_absent(table, codecs):
    other = Table(pl.DataFrame({"y": ["0", "zebra", None]}))
    problems = Problems()
    encoded = encode_table(other, {"y": codecs["y"]}, problems=problems)
    assert encoded.present["y"].tolist() == [True, False, False]
    assert problems.counts() == {"label-unknown": 1}


def test_cut_cells_are_counted(table, codecs):
    options = {"max_length": 2}
    codec = codec_for(Column("words", "text", "input", options=options)).fit(table.cells("words"))
    problems = Problems()
    encode_table(table, {"words": codec}, problems=problems)
    longer = sum(len(text.split()) > 2 for text in table.cells("words") if text)
    (problem,) = problems
    assert problem.code == "text-cut" and problem.message.startswith(f"{longer} of {ROWS - 1} cells")


@pytest.mark.parametrize("budget", [2**30, 1])
def test_batches_carry_what_undoing_needs(table, codecs, budget):
    encoded = encode_table(table, codecs, budget_bytes=budget)
    rows = np.array([10, 1, 10])
    batch = encoded.batch(rows, list(codecs))
    own = {name: [codec.encode(table.cells(name)[row], table.folder)[1] for row in rows]
           for name, codec in codecs.items()}
    assert batch.context == own and "size" not in encoded.context
    assert encoded.context["photo"][5] is None and encoded.context["photo"][10] is encoded.context["photo"][11]


def test_batches_are_trimmed_to_their_longest_cell(table, codecs):
    encoded = encode_table(table, codecs)
    batch = encoded.batch(np.array([0, 1]), ["sound", "words"])
    for name, part in (("sound", "log_mel"), ("words", "ids")):
        field = batch.inputs[name]
        assert field[part].shape[-1] == int(field["lengths"].max())


def test_cache_spares_a_second_decoding(table, codecs, monkeypatch):
    cache = {}
    first = encode_table(table, codecs, cache=cache)
    calls = []
    plain = ImageCodec.encode
    monkeypatch.setattr(ImageCodec, "encode", lambda self, *rest: (calls.append(1), plain(self, *rest))[1])
    refitted = ImageCodec().fit(table.cells("photo")[100:], table.folder)  # other mean and std, same pictures
    calls.clear()
    problems = Problems()
    second = encode_table(table, {**codecs, "photo": refitted}, cache=cache, problems=problems)
    assert len(calls) < 40  # the probes
    assert second.fields["photo"] is first.fields["photo"] and problems.counts()["image-missing"] == 1
    encode_table(table.take(np.arange(300)), {"photo": refitted}, cache=cache)
    assert len(calls) > 300  # other cells
    larger = ImageCodec(size=24).fit(table.cells("photo")[:20], table.folder)
    assert encode_table(table, {"photo": larger}, cache=cache).fields["photo"].shape[-1] == 24


def test_array_cells_and_the_cache():
    arrays = [np.full((8, 8), value, np.uint8) for value in range(6)]
    table = Table(pl.DataFrame({"photo": pl.Series(arrays, dtype=pl.Object)}))
    codec = ImageCodec(size=8).fit(arrays)
    cache = {}
    encoded = encode_table(table, {"photo": codec}, cache=cache)
    assert encoded.fields["photo"][:, 0, 0, 0].tolist() == list(range(6))
    assert encode_table(table, {"photo": codec}, cache=cache).fields["photo"] is encoded.fields["photo"]


def test_a_longest_cell_that_no_probe_met_is_streamed():
    sounds = [(np.zeros(1600, np.float32), 16_000)] * 400
    sounds[13] = (np.zeros(160_000, np.float32), 16_000)
    table = Table(pl.DataFrame({"sound": pl.Series(sounds, dtype=pl.Object)}))
    codec = codec_for(Column("sound", "audio", "input", options={"max_seconds": 10.0})).fit(sounds[:5])
    encoded = encode_table(table, {"sound": codec}, budget_bytes=400 * 64 * 4 * 100)
    assert set(encoded.streamed) == {"sound"} and encoded.present["sound"].all()
    assert encoded.batch(np.array([13]), ["sound"]).inputs["sound"]["lengths"].item() == 1001


def test_a_file_that_vanishes_while_streaming_is_absent(tmp_path):
    for index in range(3):
        Image.new("L", (8, 8), index).save(tmp_path / f"{index}.png")
    table = Table(pl.DataFrame({"photo": ["0.png", "1.png", "2.png"]}), tmp_path)
    codec = ImageCodec(size=8).fit(table.cells("photo"), tmp_path)
    encoded = encode_table(table, {"photo": codec}, budget_bytes=0)
    (tmp_path / "1.png").unlink()
    batch = encoded.batch(np.arange(3), ["photo"])
    assert batch.present["photo"].tolist() == [True, False, True]
    assert batch.inputs["photo"][:, 0, 0, 0].tolist() == [0, 0, 2]


def test_stream_can_be_left_half_way(table, codecs):
    stream = encode_table(table, codecs, budget_bytes=0)
    batches = stream.batches(batch_order(np.arange(ROWS), 8, seed=0, epoch=0), INPUTS)
    next(batches)
    batches.close()
    assert len(stream.batch(np.arange(2), INPUTS)) == 2


def test_progress_and_empty_table(table, codecs):
    calls = []
    encode_table(table, codecs, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (ROWS * len(KINDS), ROWS * len(KINDS)) and calls == sorted(calls)
    empty = encode_table(table.take(np.arange(0)), codecs)
    assert empty.rows == 0 and len(empty.batch(np.arange(0), INPUTS, ["y"])) == 0


def test_missing_columns_are_named(table, codecs):
    with pytest.raises(DataError, match=r"expected the columns .* nope not found"):
        encode_table(table, {**codecs, "nope": codecs["y"]})
    with pytest.raises(DataError, match="expected an encoded column among"):
        encode_table(table, codecs).batch(np.arange(2), ["nope"])


def test_order_is_a_pure_function_and_a_permutation():
    rows = np.arange(100, 1100)
    order = batch_order(rows, 64, seed=3, epoch=2)
    assert np.array_equal(np.concatenate(order), np.concatenate(batch_order(rows, 64, seed=3, epoch=2)))
    assert np.array_equal(np.sort(np.concatenate(order)), rows)
    assert [len(batch) for batch in order] == [64] * 15 + [40]
    assert len(batch_order(rows, 64, seed=3, epoch=2, drop_last=True)) == 15
    for other in (batch_order(rows, 64, seed=4, epoch=2), batch_order(rows, 64, seed=3, epoch=3)):
        assert not np.array_equal(np.concatenate(order), np.concatenate(other))
    assert np.concatenate(batch_order(np.arange(4), 2, seed=0, epoch=0)).tolist() == [1, 2, 3, 0]  # on every machine
    with pytest.raises(DataError, match="batch size"):
        batch_order(rows, 0, seed=0, epoch=0)


def test_a_batch_of_small_pictures_takes_under_a_third_of_a_millisecond():
    pictures = [np.zeros((28, 28), np.uint8)] * 4000
    frame = pl.DataFrame({"photo": pl.Series(pictures, dtype=pl.Object), "y": [str(i % 10) for i in range(4000)]})
    table = Table(frame)
    codecs = {"photo": ImageCodec(size=28).fit(pictures[:5]),
              "y": codec_for(Column("y", "category", "target"), target=True).fit(table.cells("y"))}
    encoded = encode_table(table, codecs)
    seconds = []
    for rows in batch_order(np.arange(4000), 128, seed=0, epoch=0) * 5:
        started = time.perf_counter()
        encoded.batch(rows, ["photo"], ["y"])
        seconds.append(time.perf_counter() - started)
    assert np.median(seconds) < 3e-4
