"""Two sets of texts: what kind of thing a definition defines, and which drawer a saying comes from.

Glosses: definitions of WordNet 3.0 nouns (Debian package wordnet-base, WordNet licence) → the lexicographer's class of
the noun (animal, plant, food, act …). The noun itself and the example sentences are left out; glosses that two classes
share are left out. Fortunes: sayings of the Debian package fortunes → their file (computers, science, law …), without
the line that says by whom they are.

    apt-get install wordnet-base fortunes
    python scripts/text.py data-real/text
"""

import argparse
import re
from collections import defaultdict
from pathlib import Path
from random import Random

from dataset_folder import DatasetFolder, needs

NOUNS = Path("/usr/share/wordnet/data.noun")
FORTUNES = Path("/usr/share/games/fortunes")
# lexicographer file numbers, lexnames(5WN)
CLASSES = {"04": "act", "05": "animal", "06": "artifact", "07": "attribute", "10": "communication", "13": "food",
           "15": "location", "18": "person", "20": "plant", "26": "state"}
DRAWERS = ("computers", "science", "politics", "songs-poems", "work", "art", "food", "law")


def main() -> None:
    """Read the arguments, convert, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/text"))
    parser.add_argument("--rows", type=int, default=500, help="glosses of each class")
    parser.add_argument("--seed", type=int, default=0, help="of the glosses taken and of the division into two files")
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    glosses = read_glosses(needs(NOUNS, "wordnet-base"), options.rows, options.seed)
    sayings = read_fortunes(needs(FORTUNES / "law", "fortunes").parent, options.seed)
    folder = DatasetFolder(options.folder, force=options.force)
    for name, target, rows in (("glosses", "class", glosses), ("fortunes", "drawer", sayings)):
        cut = len(rows) // 5
        folder.write_table(f"{name}.csv", rows, target)
        folder.write_table(f"{name}-train.csv", rows[cut:], target)
        folder.write_table(f"{name}-test.csv", rows[:cut], target)
    folder.next(
        "gradatim fit DIR/glosses-train.csv --target class --minutes 3 -o runs/glosses",
        "gradatim evaluate runs/glosses DIR/glosses-test.csv",
        "gradatim fit DIR/fortunes-train.csv --target drawer --minutes 3 -o runs/fortunes",
        "gradatim evaluate runs/fortunes DIR/fortunes-test.csv",
    )


def read_glosses(path: Path, rows: int, seed: int) -> list[dict[str, object]]:
    """`rows` definitions of each class, in random order; a line of data.noun ends in '| definition; "example"'."""
    classes: dict[str, set[str]] = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue  # the licence
        head, _, gloss = line.partition(" | ")
        definition = re.split(r';\s*"', gloss)[0].strip().strip(";")
        if len(definition) >= 10:
            classes[definition].add(CLASSES.get(head.split()[1], ""))
    found = defaultdict(list)
    for definition, names in classes.items():
        if len(names) == 1:
            found[next(iter(names))].append(definition)
    random = Random(f"glosses-{seed}")
    table: list[dict[str, object]] = [
        {"gloss": definition, "class": name}
        for name in CLASSES.values()
        for definition in random.sample(sorted(found[name]), min(rows, len(found[name])))
    ]
    random.shuffle(table)
    return table


def read_fortunes(folder: Path, seed: int) -> list[dict[str, object]]:
    """Every saying of the chosen drawers, each once, in random order; '%' alone on a line parts them."""
    drawers: dict[str, set[str]] = defaultdict(set)
    for name in DRAWERS:
        for saying in re.split(r"\n%\n", (folder / name).read_text(encoding="utf-8", errors="replace")):
            lines = [line for line in saying.splitlines() if not re.match(r"\s*-- ?\S", line)]
            text = " ".join(" ".join(lines).split())
            if len(text) >= 20:
                drawers[text].add(name)
    table: list[dict[str, object]] = [
        {"saying": text, "drawer": next(iter(names))} for text, names in sorted(drawers.items()) if len(names) == 1
    ]
    Random(f"fortunes-{seed}").shuffle(table)
    return table


if __name__ == "__main__":
    main()
