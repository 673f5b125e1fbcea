"""A folder of class folders: each picture or sound is a row, and the folder it lies in is its label."""

import difflib
import os
from pathlib import Path

import polars as pl

from gradatim.data.table import Table
from gradatim.errors import DataError

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
SOUND_ENDINGS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus"})
MEDIA_ENDINGS = PICTURE_ENDINGS | SOUND_ENDINGS
TABLE_ENDINGS = frozenset({".csv", ".tsv", ".parquet", ".jsonl", ".ndjson"})
TRAINING_NAMES = ("train", "training")
OTHER_PARTS = ("test", "testing", "val", "valid", "validation", "dev", "development", "eval", "holdout")
_HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "__pycache__"})


def read_folder(folder: Path) -> Table:
    """Rows `file` (path relative to the returned table's folder) and `label` (name of the class folder).

    Of a folder that holds `train/` beside `test/` or `val/`, `train/` alone is taken; a single folder that wraps the
    class folders is stepped into; files deeper in a class folder belong to that class; files beside the class folders
    have no label; a folder without class folders gives `file` alone. The notes say which of these happened and what
    was left out. Hidden files are ignored. Raises DataError when there is no picture or sound, or both.
    """
    root, notes = _root(folder)
    media, others = _walk(root)
    if not media:
        raise DataError(_nothing_found(folder, root, others))
    pictures = sum(_ending(path) in PICTURE_ENDINGS for path in media)
    if 0 < pictures < len(media):
        raise DataError(f"{folder}: expected pictures or sounds, found {pictures:,} pictures and "
                        f"{len(media) - pictures:,} sounds; keep one kind a folder, or write a table naming both")
    what = "pictures" if pictures else "sounds"
    labels = [path.partition("/")[0] if "/" in path else None for path in media]
    classes = sorted({label for label in labels if label is not None})
    columns = {"file": pl.Series("file", media, dtype=pl.String)}
    if classes:
        columns["label"] = pl.Series("label", labels, dtype=pl.String)
        notes.append(f"{len(media):,} {what} in {len(classes):,} class folders")
    else:
        notes.append(f"{len(media):,} {what} without class folders: there is no label")
    notes += _remarks(root, media, labels, classes, others)
    return Table(pl.DataFrame(columns), root, None, folder.name or str(folder), tuple(notes))


def is_class_folder_table(table: Table) -> bool:
    """Whether a table came from a folder of class folders."""
    return table.lines is None and table.folder is not None and table.frame.columns == ["file", "label"]


def _root(folder: Path) -> tuple[Path, list[str]]:
    """The folder whose children are the classes, and how it was found."""
    notes: list[str] = []
    for _ in range(8):
        inner = {path.name.lower(): path for path in subfolders(folder)}
        training = next((inner[name] for name in TRAINING_NAMES if name in inner), None)
        if training is not None and all(name in TRAINING_NAMES + OTHER_PARTS for name in inner):
            left = sorted(path.name for path in inner.values() if path != training)
            beside = f"; left {', '.join(f'{name}/' for name in left)} alone" if left else ""
            notes.append(f"took {training.name}/{beside}")
            return training, notes
        if len(inner) != 1 or _loose_media(folder):
            return folder, notes
        only = next(iter(inner.values()))
        if not subfolders(only):
            return folder, notes
        notes.append(f"stepped into {only.name}/, the only folder there")
        folder = only
    return folder, notes


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in a folder, without hidden and linked ones, by name."""
    entries = (path for path in folder.iterdir() if not _hidden(path.name))
    return sorted(path for path in entries if path.is_dir() and not path.is_symlink())


def _loose_media(folder: Path) -> bool:
    return any(_ending(path.name) in MEDIA_ENDINGS and path.is_file() for path in folder.iterdir())


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """Relative paths, with '/' between parts, of the media files and of all other files, in a fixed order."""
    media: list[str] = []
    others: list[str] = []
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        prefix = Path(place).relative_to(root).as_posix()
        for name in sorted(files):
            if not _hidden(name):
                path = name if prefix == "." else f"{prefix}/{name}"
                (media if _ending(name) in MEDIA_ENDINGS else others).append(path)
    unreadable = [path for path in media if not _is_text(path)]
    if unreadable:
        raise DataError(f"{root}: expected file names in UTF-8, found {unreadable[0]!r}; rename the file")
    return media, others


def _remarks(
    root: Path, media: list[str], labels: list[str | None], classes: list[str], others: list[str]
) -> list[str]:
    notes = []
    loose = labels.count(None)
    if classes and loose:
        notes.append(f"{loose:,} files lie beside the class folders and have no label ({media[labels.index(None)]})")
    deep = [path for path in media if path.count("/") > 1]
    if deep:
        notes.append(f"{len(deep):,} files lie deeper than their class folder and count to it ({deep[0]})")
    empty = [path.name for path in subfolders(root) if path.name not in classes]
    if empty:
        notes.append(f"no pictures or sounds in {', '.join(f'{name}/' for name in empty[:5])}")
    links = [path.name for path in root.iterdir() if path.is_symlink() and path.is_dir()]
    if links:
        notes.append(f"linked folders are not followed ({', '.join(links[:3])})")
    if others:
        more = ", …" if len(others) > 3 else ""
        notes.append(f"{len(others):,} other files left out ({', '.join(others[:3])}{more})")
    return notes


def _nothing_found(folder: Path, root: Path, others: list[str]) -> str:
    tables = [path for path in others if Path(path).suffix.lower() in TABLE_ENDINGS]
    place = folder if root == folder else root
    if tables:
        best = difflib.get_close_matches("train.csv", tables, n=1, cutoff=0.0)[0]
        return (f"{place}: expected a folder of class folders with pictures or sounds, found none; "
                f"did you mean the table {best} in it?")
    found = f"found {len(others):,} other files ({others[0]})" if others else "found no files"
    return (f"{place}: expected a folder of class folders with pictures ({_some(PICTURE_ENDINGS)}) or sounds "
            f"({_some(SOUND_ENDINGS)}), {found}; check the path or convert the files")


def _some(endings: frozenset[str]) -> str:
    return ", ".join(sorted(endings, key=lambda ending: (ending not in {".png", ".jpg", ".wav", ".mp3"}, ending))[:4])


def _ending(name: str) -> str:
    return Path(name).suffix.lower()


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
