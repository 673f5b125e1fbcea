"""Spoken letters of fifteen languages, and digits spoken by a hundred synthetic voices.

Letters: the recordings of the Debian package klettres-data (GPL-2+; one speaker a language), names A to Z only:
letters.csv (sound, language → letter) and vowels.csv (sound, language → vowel: yes or no). Use `language` as --group,
so that languages and speakers stay on one side.

Digits: espeak-ng says 'zero' to 'nine' in English with each of its voice variants in two accents, at random speed and
pitch, with silence before and white noise of 5 to 25 decibels signal to noise: digits.csv (sound, voice, accent →
digit), divided by voice into train.csv and test.csv. Use `voice` as --group.

    apt-get install klettres-data espeak-ng
    python scripts/klettres.py data-real/klettres
"""

import argparse
import re
import shutil
import string
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from dataset_folder import DatasetFolder, needs

SOURCE = Path("/usr/share/klettres")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")


def main() -> None:
    """Read the arguments, convert, synthesise, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/klettres"))
    parser.add_argument("--accents", type=int, default=2, help="accents of each voice")
    parser.add_argument("--seed", type=int, default=0, help="of speed, pitch, noise and the division by voice")
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    needs(SOURCE, "klettres-data")
    speaker = shutil.which("espeak-ng") or str(needs(Path("/usr/bin/espeak-ng"), "espeak-ng"))
    folder = DatasetFolder(options.folder, force=options.force)
    letters = copy_letters(folder.path)
    folder.write_table("letters.csv", letters, "letter")
    vowels = [{**row, "vowel": "yes" if str(row["letter"]) in "AEIOUY" else "no"} for row in letters]
    for row in vowels:
        del row["letter"]
    folder.write_table("vowels.csv", vowels, "vowel")
    digits = speak_digits(speaker, folder.path, options.accents, options.seed)
    voices = sorted({str(row["voice"]) for row in digits})
    test = set(Random(f"test-{options.seed}").sample(voices, len(voices) // 5))
    folder.write_table("digits.csv", digits, "digit")
    folder.write_table("train.csv", [row for row in digits if row["voice"] not in test], "digit")
    folder.write_table("test.csv", [row for row in digits if row["voice"] in test], "digit")
    folder.next(
        "gradatim fit DIR/train.csv --target digit --group voice --ignore accent --minutes 3 -o runs/digits",
        "gradatim evaluate runs/digits DIR/test.csv",
        "gradatim fit DIR/letters.csv --target letter --group language --minutes 3 -o runs/letters",
        "gradatim fit DIR/vowels.csv --target vowel --group language --minutes 3 -o runs/vowels",
    )


def copy_letters(folder: Path) -> list[dict[str, object]]:
    """The recordings of A to Z, copied under numbers that say nothing."""
    (folder / "letters").mkdir()
    found = []
    for listing in sorted(SOURCE.glob("*/sounds.xml")):
        alphabet = ElementTree.parse(listing).find(".//alphabet")
        for sound in alphabet.iter("sound") if alphabet is not None else ():
            name, file = sound.get("name", "").strip().upper(), SOURCE / sound.get("file", "")
            if len(name) == 1 and name in string.ascii_uppercase and file.is_file():
                found.append((file, listing.parent.name, name))
    order = Random("letters").sample(range(len(found)), len(found))
    rows: list[dict[str, object]] = []
    for number, place in enumerate(order):
        file, language, name = found[place]
        shutil.copyfile(file, folder / "letters" / f"{number:04d}{file.suffix}")
        rows.append({"sound": f"letters/{number:04d}{file.suffix}", "language": language, "letter": name})
    return rows


def speak_digits(speaker: str, folder: Path, accents: int, seed: int) -> list[dict[str, object]]:
    """Ten digits by every voice in some accents, as wav files."""
    (folder / "digits").mkdir()
    random = Random(f"digits-{seed}")
    takes = [
        (digit, variant, accent)
        for variant in voice_variants(speaker)
        for accent in random.sample(ACCENTS, accents)
        for digit in range(10)
    ]
    random.shuffle(takes)
    jobs = []
    for number, (digit, variant, accent) in enumerate(takes):
        path = folder / "digits" / f"{number:04d}.wav"
        command = [speaker, "-v", f"{accent}+{variant}", "-s", str(random.randint(130, 210)),
                   "-p", str(random.randint(30, 70)), "-w", str(path), DIGITS[digit]]
        jobs.append((command, path, random.getrandbits(32)))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(speak, jobs))
    return [
        {"sound": f"digits/{number:04d}.wav", "voice": voice_name(variant), "accent": accent, "digit": digit}
        for number, (digit, variant, accent) in enumerate(takes)
    ]


def voice_variants(speaker: str) -> list[str]:
    """The names of espeak-ng's voice variants that speak."""
    listing = subprocess.run([speaker, "--voices=variant"], capture_output=True, text=True, check=True).stdout
    names = sorted({match.group(1) for match in re.finditer(r"!v/(\S+)", listing)})
    return [name for name in names if audible(speaker, name)]


def audible(speaker: str, variant: str) -> bool:
    """Whether the variant exists under this name (names with blanks are cut in the listing) and gives a sound."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        result = subprocess.run([speaker, "-v", f"en-us+{variant}", "-w", str(path), "one"], capture_output=True,
                                check=False)
        return result.returncode == 0 and path.exists() and path.stat().st_size > 4000


def voice_name(variant: str) -> str:
    """The voice that a variant belongs to: takes of one speaker are numbered (Steph, Steph2), m1 and f1 are not."""
    return variant if re.fullmatch(r"[mf]\d", variant) else variant.rstrip("0123456789").lower()


def speak(job: tuple[list[str], Path, int]) -> None:
    """Synthesise one sound, then put silence before it and noise over it."""
    command, path, seed = job
    subprocess.run(command, check=True, capture_output=True)
    wave, hertz = soundfile.read(path, dtype="float32")
    random = np.random.default_rng(seed)
    wave = np.concatenate([np.zeros(int(hertz * random.uniform(0, 0.3)), np.float32), wave])
    power = float(np.mean(wave**2)) / 10 ** (random.uniform(5, 25) / 10)
    wave = wave + random.normal(0, max(power, 1e-10) ** 0.5, len(wave)).astype(np.float32)
    soundfile.write(path, np.clip(wave * random.uniform(0.3, 0.9), -1, 1), hertz, subtype="PCM_16")


if __name__ == "__main__":
    main()
