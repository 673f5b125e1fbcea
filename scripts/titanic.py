"""Titanic: 1,309 passengers, survived or not, with missing ages, cabins and ports (OpenML 40945, public domain).

From the test data inside the scikit-learn wheel (pip install scikit-learn). Writes titanic.csv and, in the same
spelling, nine tenths of it as train.csv and the rest as test.csv. The columns `boat` (lifeboat) and `body` (number of
the body found) tell the answer after the event: they are dropped unless --leaks, which keeps them for the audit to
find. Families travel on one ticket: `ticket` can be used as --group.

    python scripts/titanic.py data-real/titanic
"""

import argparse
import csv
import gzip
import importlib.util
from pathlib import Path
from random import Random

from dataset_folder import DatasetFolder, needs

LEAKS = ("boat", "body")


def main() -> None:
    """Read the arguments, convert, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/titanic"))
    parser.add_argument("--leaks", action="store_true", help="keep the columns boat and body")
    parser.add_argument("--seed", type=int, default=0, help="of the division into train.csv and test.csv")
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    spec = importlib.util.find_spec("sklearn")
    root = Path(spec.origin).parent if spec and spec.origin else Path("scikit-learn")
    source = needs(root / "datasets/tests/data/openml/id_40945", "python3-sklearn (or: pip install scikit-learn)")
    rows = read_arff(next(source.glob("data-*.arff.gz")))
    if not options.leaks:
        rows = [{name: cell for name, cell in row.items() if name not in LEAKS} for row in rows]
    order = list(range(len(rows)))
    Random(f"test-{options.seed}").shuffle(order)
    test = set(order[: len(rows) // 10])
    folder = DatasetFolder(options.folder, force=options.force)
    folder.write_table("titanic.csv", rows, "survived")
    folder.write_table("train.csv", [row for i, row in enumerate(rows) if i not in test], "survived")
    folder.write_table("test.csv", [row for i, row in enumerate(rows) if i in test], "survived")
    ignore = " ".join(f"--ignore {name}" for name in LEAKS) if options.leaks else ""
    folder.next(
        f"gradatim fit DIR/train.csv --target survived {ignore} -o runs/titanic".replace("  ", " "),
        "gradatim evaluate runs/titanic DIR/test.csv",
    )


def read_arff(path: Path) -> list[dict[str, object]]:
    """The rows of an ARFF file with attributes on lines of their own; '?' becomes None.

    Cells are in double quotes when they hold a comma or a blank; a quote inside is escaped by a backslash.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    start = next(i for i, line in enumerate(lines) if line.lower().startswith("@data"))
    names = [line.split()[1].strip("'\"") for line in lines[:start] if line.lower().startswith("@attribute")]
    cells = csv.reader((line for line in lines[start + 1 :] if line.strip() and line[0] != "%"), escapechar="\\")
    return [{name: None if cell == "?" else cell for name, cell in zip(names, row, strict=True)} for row in cells]


if __name__ == "__main__":
    main()
