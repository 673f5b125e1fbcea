"""Pairs of English and another language from the message catalogues of free programs, as a CSV for `gradatim fit`.

    python scripts/make_translation_set.py german.csv --language de
    python scripts/make_translation_set.py german.csv --language de --download FOLDER

Without --download the catalogues of this machine are read (/usr/share/locale); with it the packages of PACKAGES are
fetched with apt-get into FOLDER (Debian or Ubuntu, about 700 MB once) and only their catalogues are unpacked.

What is left out: entries without a letter, over --longest characters, untranslated ones (equal to the source), lists of
names (ISO codes), texts whose lengths differ more than threefold, and all but the commonest translation of a source.
Marks of menu accelerators (_File, &File, ~File) are taken away unless --accelerators is given. Columns: english, the
language's name, program.
"""

import argparse
import csv
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

LANGUAGES = {"de": "german", "fr": "french", "es": "spanish", "it": "italian", "nl": "dutch", "sv": "swedish",
             "pl": "polish", "cs": "czech", "pt": "portuguese", "ru": "russian"}
PACKAGES = [
    "aisleriot", "akregator", "anjuta-common", "apt", "aptitude-common", "ardour-data", "ark", "atril-common",
    "audacity-data", "baobab", "bash", "bibletime", "binutils-common", "bleachbit", "blender-data", "bluefish-data",
    "brasero-common", "caja-common", "cantor", "cheese-common", "cinnamon-l10n", "coreutils", "darktable",
    "deja-dup", "deluge-common", "denemo-data", "dia-common", "digikam-data", "dolphin", "dpkg", "e2fsprogs-l10n",
    "elisa", "engrampa-common", "eom-common", "epiphany-browser-data", "evince-common", "evolution-common",
    "evolution-data-server-common", "fcitx5-data", "file-roller", "filezilla-common", "findutils", "five-or-more",
    "fontforge-common", "freeciv-data", "gajim", "gawk", "gcc-12-locales", "geany-common", "gedit-common",
    "gettext", "gimp-data", "git", "gnome-boxes", "gnome-chess", "gnome-control-center-data", "gnome-disk-utility",
    "gnome-maps", "gnome-mines", "gnome-music", "gnome-photos", "gnome-shell-common", "gnome-software-common",
    "gnome-system-monitor", "gnome-terminal-data", "gnome-weather", "gnubg", "gnucash-common", "gnumeric-common",
    "gnupg-l10n", "gparted", "gramps", "grep", "grisbi-common", "gthumb-data", "gwenview", "handbrake",
    "hexchat-common", "homebank-data", "ibus-data", "inkscape", "juk", "k3b-data", "kaddressbook", "kalzium-data",
    "kbibtex-data", "kcalc", "kde-spectacle", "kdeconnect", "kdenlive-data", "kdepim-runtime", "kdevelop-data",
    "kdf", "kfind", "kgeography-data", "kget", "kgpg", "khelpcenter", "kig", "kile", "kio", "kleopatra", "kmail",
    "kmplot", "kmymoney-common", "kolourpaint", "konsole", "kontact", "konversation-data", "kopete-data",
    "korganizer", "krita-l10n", "krusader", "ktorrent-data", "kwin-data", "labplot", "libc-l10n", "libglib2.0-data",
    "libgtk-3-common", "libgtk-4-common", "libkf5khtml-data", "libkf5texteditor5-data", "libreoffice-l10n-de",
    "libreoffice-l10n-fr", "libreoffice-l10n-es", "lokalize", "lyx-common", "mate-control-center-common",
    "mate-desktop-common", "mate-panel-common", "minetest-data", "mutter-common", "nautilus-data", "nemo-data",
    "okular", "openttd-data", "parley-data", "pidgin-data", "planner-data", "plasma-desktop-data",
    "plasma-discover-common", "plasma-nm", "plasma-workspace-data", "pluma-common", "qgis-providers-common",
    "quadrapassel", "rhythmbox-data", "rkward-data", "shotwell-common", "simple-scan", "skrooge-common",
    "sound-juicer", "step", "synaptic", "tar", "tellico-data", "thunar-data", "totem-common", "tuxpaint-data",
    "umbrello", "util-linux-locales", "virtinst", "vlc-l10n", "wesnoth-1.16-data", "wget", "xfce4-panel",
    "xfce4-settings", "yelp",
]
NAMES = re.compile(r"iso[-_]?(639|3166|15924|4217)|kgeography|kstars|timezone|xkeyboard|stellarium|unicode")
ENTITY = r"(?!#?\w{1,8};)"
ACCELERATOR = re.compile(rf"(?<![\w&])(?:[_~]|&{ENTITY})(?=\w)|(?<=\w)&{ENTITY}(?=[a-zäöüßéèêàçñ])")
INNER = re.compile(r"(?<=\w)_(?=[a-zäöüßéèêàçñ])")  # of a menu's entry; in longer texts it is a name with underscores


def read_catalogue(path: Path) -> Iterator[tuple[str, str]]:
    """Source and translation of each entry of a .mo file; of plural forms the singular, contexts dropped.

    The file's own layout (GNU gettext manual, "The Format of GNU MO Files"): two tables of lengths and places.
    """
    data = path.read_bytes()
    order = {0x950412DE: "<", 0xDE120495: ">"}.get(struct.unpack("<I", data[:4])[0]) if len(data) > 28 else None
    if order is None:
        return
    count, sources, targets = struct.unpack(order + "3I", data[8:20])
    for entry in range(count):
        texts = []
        for table in (sources, targets):
            length, place = struct.unpack(order + "2I", data[table + 8 * entry : table + 8 * entry + 8])
            texts.append(data[place : place + length].split(b"\0")[0].decode("utf-8", "replace"))
        source = texts[0].rpartition("\4")[2]
        yield from [(source, texts[1])] if source else []


def without_context(source: str, path: Path) -> str:
    """LibreOffice writes the context before a bar, KDE of old before two colons on a line of its own."""
    if "libreoffice" in str(path) or "program/resource" in str(path):
        source = source.split("|", 1)[-1]
    return re.sub(r"^_:[^\n]*\n", "", source)


def cleaned(source: str, target: str, *, longest: int, accelerators: bool) -> tuple[str, str] | None:
    """The pair with blanks at the ends off, or None where it teaches nothing."""
    if not accelerators:
        source, target = (plain(ACCELERATOR.sub("", text)) for text in (source, target))
    source, target = source.strip(), target.strip()
    letters = sum(map(str.isalpha, source)), sum(map(str.isalpha, target))
    if min(letters) < 2 or max(len(source), len(target)) > longest or "\ufffd" in source + target:
        return None
    if source == target or max(letters) > 3 * min(letters) + 10:
        return None
    return source, target


def plain(text: str) -> str:
    """A menu's entry without the mark inside its word."""
    return INNER.sub("", text) if len(text) < 40 and text[:1].isupper() and text.count("_") == 1 else text


def download(folder: Path) -> None:
    """Fetch the packages that are not there yet and unpack their catalogues."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        unpacked = folder / "catalogues" / package
        if unpacked.is_dir():
            continue
        if not list(folder.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "-qq", "download", package], cwd=folder, check=False, stderr=subprocess.DEVNULL)
        for deb in folder.glob(f"{package}_*.deb"):
            unpacked.mkdir(parents=True)
            pipe = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", unpacked, "--wildcards", "*/LC_MESSAGES/*.mo"], stdin=pipe.stdout,
                           check=False, stderr=subprocess.DEVNULL)
            pipe.wait()
        print(f"{package}: {len(list(unpacked.rglob('*.mo')))} catalogues", file=sys.stderr)


def catalogues(folders: list[Path], language: str) -> list[Path]:
    """The catalogues of a language, those of its main country among them."""
    found = {path for folder in folders for path in folder.rglob("LC_MESSAGES/*.mo")
             if path.parent.parent.name in (language, f"{language}_{language.upper()}")}
    return sorted(path for path in found if not NAMES.search(path.stem))


def main() -> None:
    """Read, clean, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--language", default="de", choices=sorted(LANGUAGES))
    parser.add_argument("--download", type=Path, help="fetch Debian packages into this folder")
    parser.add_argument("--longest", type=int, default=300, help="characters of a text")
    parser.add_argument("--accelerators", action="store_true", help="keep the marks of menu accelerators")
    options = parser.parse_args()
    folders = [Path("/usr/share/locale")]
    if options.download is not None:
        if not shutil.which("apt-get"):
            sys.exit("--download: expected apt-get, found none; run it on Debian or Ubuntu")
        download(options.download)
        folders.append(options.download / "catalogues")
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    program: dict[str, str] = {}
    files = catalogues(folders, options.language)
    for path in files:
        for source, target in read_catalogue(path):
            pair = cleaned(without_context(source, path), target, longest=options.longest,
                           accelerators=options.accelerators)
            if pair is not None:
                votes[pair[0]][pair[1]] += 1
                program.setdefault(pair[0], path.stem)
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["english", LANGUAGES[options.language], "program"])
        for source in sorted(votes):
            writer.writerow([source, min(votes[source], key=lambda t: (-votes[source][t], t)), program[source]])
    print(f"{options.output}: {len(votes)} pairs from {len(files)} catalogues", file=sys.stderr)


if __name__ == "__main__":
    main()
