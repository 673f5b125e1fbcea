"""Plain texts to learn a language from: the sayings of Debian's package fortunes, and the glosses of WordNet.

fortunes.txt: every saying of the package but the pictures in letters, parted by lines that hold '%', as in the
originals, in UTF-8. glosses.txt: definitions and examples of WordNet 3.0 (Debian package wordnet-base, WordNet
licence), a line each. Sayings and glosses that are equal to another are written once.

    apt-get install wordnet-base fortunes
    python scripts/language.py data-real/language
"""

import argparse
import re
from pathlib import Path

from dataset_folder import DatasetFolder, needs

FORTUNES = Path("/usr/share/games/fortunes")
WORDNET = Path("/usr/share/wordnet")
LEFT_OUT = ("ascii-art", "translate-me", "rubarb")


def main() -> None:
    """Read the arguments, convert, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/language"))
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    needs(FORTUNES / "law", "fortunes")
    needs(WORDNET / "data.noun", "wordnet-base")
    folder = DatasetFolder(options.folder, force=options.force)
    (folder.path / "fortunes.txt").write_text("\n%\n".join(sayings()) + "\n", encoding="utf-8")
    (folder.path / "glosses.txt").write_text("\n".join(glosses()) + "\n", encoding="utf-8")
    folder.next(
        "gradatim fit DIR/fortunes.txt --task language-model --minutes 3 -o runs/fortunes",
        "gradatim generate runs/fortunes --prompt 'The ' --count 5",
    )


def sayings() -> list[str]:
    """Every saying once, in the order of the files."""
    found = []
    for path in sorted(FORTUNES.iterdir()):
        if path.suffix or path.name in LEFT_OUT or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
        found += [part.strip("\n") for part in re.split(r"^%[ \t]*\n", text + "\n", flags=re.MULTILINE)]
    return list(dict.fromkeys(saying for saying in found if saying.strip()))


def glosses() -> list[str]:
    """Every gloss once, nouns first."""
    found = []
    for name in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{name}").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):
                found.append(line.partition(" | ")[2].strip())
    return list(dict.fromkeys(gloss for gloss in found if gloss))


if __name__ == "__main__":
    main()
