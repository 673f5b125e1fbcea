"""A small Parquet file that would unpack into gigabytes is refused from its footer; honest ones are read."""

import resource
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from gradatim.data.parquet_footer import unpacked_bytes
from gradatim.data.readers import read_table
from gradatim.errors import DataError


def test_the_footer_says_what_another_reader_says(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "table.parquet"
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"a": random.normal(size=5000), "b": [f"text {row}" for row in range(5000)],
                          "c": [[1, 2], None] * 2500})
    frame.write_parquet(path, row_group_size=1000)
    metadata = parquet.read_metadata(path)
    assert unpacked_bytes(path) == sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    assert len(read_table(path)) == 5000


@pytest.mark.parametrize("columns", [
    'pl.repeat(1, 30_000_000, eager=True).alias("a"), pl.repeat("x", 30_000_000, eager=True).alias("y")',
    'pl.Series("a", ["x" * 100_000_000])',
])
def test_a_trap_is_refused_before_memory_is_taken(tmp_path, columns):
    path = tmp_path / "trap.parquet"
    make = f"import polars as pl; pl.DataFrame([{columns}]).write_parquet({str(path)!r})"
    subprocess.run([sys.executable, "-c", make], check=True)
    assert path.stat().st_size < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"trap.parquet: expected a table of its size, found .* bytes"):
        read_table(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_footer_of_nonsense_is_left_to_the_reader(tmp_path):
    path = tmp_path / "table.parquet"
    pl.DataFrame({"a": range(100)}).write_parquet(path)
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    for _ in range(200):
        bent = bytearray(data)
        for place in random.integers(len(data) - 200, len(data) - 8, size=3):
            bent[place] = random.integers(256)
        path.write_bytes(bent)
        assert unpacked_bytes(path) >= 0
