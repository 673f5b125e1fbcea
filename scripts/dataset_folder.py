"""The folder a script writes into: tables, files beside them, and what to run next."""

import csv
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path


class DatasetFolder:
    """A folder that is filled once. --force replaces one that a script has written before, never any other."""

    MARK = ".written-by-a-script"

    def __init__(self, path: Path, *, force: bool = False) -> None:
        if path.exists() and any(path.iterdir()):
            if not (path / self.MARK).exists():
                sys.exit(f"{path}: expected an empty or a new folder, found files of somebody else; name another")
            if not force:
                sys.exit(f"{path}: expected an empty or a new folder, found an earlier run's; add --force")
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        (path / self.MARK).touch()
        self.path = path

    def write_table(self, name: str, rows: Sequence[dict[str, object]], target: str | None = None) -> None:
        """Write a CSV and say how many rows it has, and how many of each class when there are few."""
        columns = list(rows[0])
        write_csv(self.path / name, columns, ([row[column] for column in columns] for row in rows))
        counts = Counter(str(row[target]) for row in rows) if target else Counter()
        classes = ", ".join(f"{label} {count:,}" for label, count in counts.most_common()) if len(counts) < 30 else ""
        print(f"{self.path / name}: {len(rows):,} rows{'; ' + classes if classes else ''}")

    def next(self, *commands: str) -> None:
        """Print the commands to run; DIR in them stands for the folder."""
        print("Next:")
        for command in commands:
            print(f"  {command.replace('DIR', str(self.path))}")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A comma-separated file in UTF-8; None becomes an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)


def needs(path: Path, package: str) -> Path:
    """The path, or the one line that says which Debian package brings it."""
    if not path.exists():
        sys.exit(f"{path}: expected the files of the Debian package {package}; run: apt-get install {package}")
    return path


def fetch(command: Sequence[str], folder: Path, pattern: str) -> Path:
    """Run a package client in `folder` and give back the file it left there.

    A file that is there already is not fetched again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(pattern)):
        print(f"Fetching: {' '.join(command)}", flush=True)
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode != 0 or not list(folder.glob(pattern)):
            line = " ".join(command)
            sys.exit(f"{line}: expected {pattern}, received exit code {result.returncode}\n{result.stderr}")
    return sorted(folder.glob(pattern))[-1]


def download_folder() -> Path:
    """Where downloaded packages wait for a second run."""
    return Path(tempfile.gettempdir()) / "gradatim-downloads"
