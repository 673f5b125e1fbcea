"""Emoji: a picture, a name and tags → the group they belong to (smileys, animals, food …).

Pictures are Google's (Noto, Apache-2.0) from the npm package emoji-datasource-google; names, tags and groups are from
emojibase-data (MIT). Words of the taxonomy itself (group and subgroup names: 'face', 'animal', 'fruit' …) and the words
for people ('man', 'woman' …) are taken out of names and tags, since they would give the answer away. Variants of one
emoji (skin tone, gender, hair, direction, colour, hour of a clock) form a `family`, which must stay on one side of a
split. The group 'component' (swatches of skin and hair) is dropped. Country flags are a single series, so that their
class would lie on one side only: they are dropped unless --flags. Skin tones add 1,800 near-copies of people: --skins.

    python scripts/emoji.py data-real/emoji
"""

import argparse
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from dataset_folder import DatasetFolder, download_folder, fetch

PICTURES, NAMES = "emoji-datasource-google@16.0.0", "emojibase-data@17.0.0"
SKIN, GENDER, HAIR = {f"1F3F{digit}" for digit in "BCDEF"}, {"2640", "2642"}, {f"1F9B{digit}" for digit in "0123"}
SIGNS = SKIN | GENDER | HAIR | {"200D", "FE0F", "27A1"}
PEOPLE = {"1F468": "1F9D1", "1F469": "1F9D1", "1F466": "1F9D2", "1F467": "1F9D2", "1F474": "1F9D3", "1F475": "1F9D3"}
PEOPLE_WORDS = {"man", "men", "woman", "women", "person", "people", "boy", "girl", "child", "adult", "male", "female"}
COLOURS = {"red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white", "grey", "pink"}
VARIANT_WORDS = PEOPLE_WORDS | COLOURS | {"facing", "right", "light", "dark", "medium", "small", "large"}
CLASSES = {"smileys-emotion": "smileys", "people-body": "people", "animals-nature": "animals", "food-drink": "food",
           "travel-places": "travel", "activities": "activities", "objects": "objects", "symbols": "symbols",
           "flags": "flags"}


def main() -> None:
    """Read the arguments, fetch, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/emoji"))
    parser.add_argument("--skins", action="store_true", help="keep the skin tones of each emoji")
    parser.add_argument("--flags", action="store_true", help="keep the flags")
    parser.add_argument("--seed", type=int, default=0, help="of the division into train.csv and test.csv")
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    pictures = fetch(["npm", "pack", PICTURES], download_folder(), "emoji-datasource-google-*.tgz")
    names = fetch(["npm", "pack", NAMES], download_folder(), "emojibase-data-*.tgz")
    folder = DatasetFolder(options.folder, force=options.force)
    rows = emoji_rows(names, pictures, skins=options.skins, flags=options.flags)
    order = list(range(len(rows)))
    Random(f"names-{options.seed}").shuffle(order)  # numbers in file names must not follow the order of the groups
    with tarfile.open(pictures) as archive:
        write_pictures(archive, rows, order, folder.path)
    rows = [{"picture": f"pictures/{number:04d}.png", **row} for number, row in zip(order, rows)]
    rows.sort(key=lambda row: str(row["picture"]))
    for row in rows:
        del row["image"]
    test = held_out({str(row["family"]) for row in rows}, options.seed)
    folder.write_table("emoji.csv", rows, "group")
    folder.write_table("train.csv", [row for row in rows if row["family"] not in test], "group")
    folder.write_table("test.csv", [row for row in rows if row["family"] in test], "group")
    print(f"{len({row['family'] for row in rows}):,} families")
    folder.next(
        "gradatim fit DIR/train.csv --target group --group family --id code --minutes 3 -o runs/emoji",
        "gradatim evaluate runs/emoji DIR/test.csv",
    )


def emoji_rows(names: Path, pictures: Path, *, skins: bool, flags: bool) -> list[dict[str, Any]]:
    """A row for each emoji that has a picture: code, image (file in the package), name, tags, family, group."""
    with tarfile.open(names) as archive:
        data = json.load(member(archive, "package/en/data.json"))
        meta = json.load(member(archive, "package/meta/groups.json"))
    with tarfile.open(pictures) as archive:
        images = dict(image_names(json.load(member(archive, "package/emoji.json"))))
    taken_out = taxonomy_words(meta) | PEOPLE_WORDS
    rows, keys = [], []
    for entry in data:
        group = meta["groups"].get(str(entry.get("group")))
        if group not in CLASSES or (group == "flags" and not flags):
            continue
        subgroup = meta["subgroups"][str(entry["subgroup"])]
        for variant in [entry, *(entry.get("skins", []) if skins else [])]:
            if variant["hexcode"] not in images:
                continue
            rows.append({
                "code": variant["hexcode"],
                "image": images[variant["hexcode"]],
                "name": without(re.split(r"[\s:,]+", variant["label"]), taken_out, " "),
                "tags": without(entry.get("tags", []), taken_out, ", "),
                "group": CLASSES[group],
            })
            keys.append(family_keys(variant["hexcode"], entry["label"], subgroup))
    for row, family in zip(rows, united(keys)):
        row["family"] = f"family-{family:04d}"
    return [{key: row[key] for key in ("code", "image", "name", "tags", "family", "group")} for row in rows]


def member(archive: tarfile.TarFile, name: str) -> Any:
    """An open file of a package."""
    file = archive.extractfile(name)
    if file is None:
        raise SystemExit(f"{archive.name!r}: expected {name} in the package; another version was fetched")
    return file


def image_names(entries: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(code as emojibase spells it, picture's file name); both with and without the variation selector."""
    for entry in entries:
        for variant in [entry, *entry.get("skin_variations", {}).values()]:
            if variant["has_img_google"]:
                for code in (variant["unified"], variant["unified"].replace("-FE0F", "")):
                    yield code, variant["image"]


def taxonomy_words(meta: dict[str, Any]) -> set[str]:
    """Words of group and subgroup names, singular and plural."""
    names = [*meta["groups"].values(), *meta["subgroups"].values()]
    words = {word for name in names for word in name.split("-")} - {"other", "single", "open", "closed", "light"}
    return words | {f"{word}s" for word in words} | {word.removesuffix("s") for word in words}


def without(words: list[str], taken_out: set[str], separator: str) -> str:
    """The words joined, less those that give the answer away (each part of a tag of several words)."""
    kept = (" ".join(part for part in word.split() if part.lower().strip("“”()") not in taken_out) for word in words)
    return separator.join(dict.fromkeys(word for word in kept if word))


def family_keys(code: str, label: str, subgroup: str) -> set[str]:
    """What ties an emoji to others: its code without signs of skin, gender, hair; its name without such words."""
    parts = [PEOPLE.get(part, part) for part in code.split("-") if part not in SIGNS]
    keys = {"code " + "-".join(parts)}
    series = {"country-flag": "flag", "keycap": "keycap", "family": "family", "zodiac": "zodiac"}
    if subgroup in series:
        keys.add(f"series {series[subgroup]}")
    if re.search(r"o.clock|-thirty$", label):
        keys.add("series clock")
    words = [word for word in re.split(r"[\s:]+", label.lower().split(":")[0]) if word not in VARIANT_WORDS]
    if words and label.lower().split(":")[0].split() != ["flag"]:
        keys.add(f"name {' '.join(words)}")
    return keys


def united(keys: list[set[str]]) -> list[int]:
    """A number for each row, the same for rows that share a key, directly or through others."""
    owner: dict[str, int] = {}
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for row, names in enumerate(keys):
        for name in names:
            parent[root(row)] = root(owner.setdefault(name, row))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(row), len(numbers)) for row in range(len(keys))]


def write_pictures(archive: tarfile.TarFile, rows: list[dict[str, Any]], order: list[int], folder: Path) -> None:
    """The 64-pixel picture of each row as pictures/NUMBER.png."""
    (folder / "pictures").mkdir()
    wanted = {f"package/img/google/64/{row['image']}": number for row, number in zip(rows, order)}
    for entry in archive:
        if entry.name in wanted:
            number = wanted[entry.name]
            (folder / "pictures" / f"{number:04d}.png").write_bytes(member(archive, entry.name).read())


def held_out(families: set[str], seed: int) -> set[str]:
    """A fifth of the families."""
    order = sorted(families)
    Random(f"test-{seed}").shuffle(order)
    return set(order[: len(order) // 5])


if __name__ == "__main__":
    main()
