"""Pairs of pictures, sounds and long texts that are nearly the same: something cheap proposes, the content confirms.

Pictures and sounds: vectors in which near-duplicates lie close. Their projection on twelve principal directions can
only shrink distances, so a search in a k-d tree there proposes every pair within the radius and none is lost (a
64-bit hash loses some and chains a quarter of Fashion-MNIST together). Texts: minimum hashes of 5-character shingles
(Broder 1997), banded. Each proposed pair is then compared on its thumbnails, waveform or full text.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from gradatim.data.fingerprints import Prints, waveform
from gradatim.errors import CellError

Pairs = np.ndarray  # int64 (P, 2), rows, first < second

DIRECTIONS = 12
MAX_PROPOSALS = 3_000_000  # candidate pairs; above, the radius is halved until they fit
PICTURE_RADIUS = 6.5  # root mean square grey levels of 255, the widest that a pair may differ
LEAST_CONTRAST = 3.0  # grey levels; blank pictures are only ever equal, never near
SOUND_RADIUS = 0.3  # distance between unit energy maps (√2 is the largest)
SOUND_LIKENESS = 0.9  # cosine of two waveforms at their best alignment
MAX_SOUND_PAIRS = 5_000
LONG_TEXT = 120  # characters; shorter equal or similar texts say little
TEXT_LIKENESS = 0.8  # Jaccard of 5-character shingles
MAX_TEXT_PAIRS = 200_000


def near_pictures(prints: Prints, rows: np.ndarray) -> tuple[Pairs, str | None]:
    """Pairs among `rows` whose thumbnails agree everywhere, and a note when the search had to be narrowed.

    With c the contrast (standard deviation) of the flatter of the two: the root mean square difference of the 32×32
    grey thumbnails is at most 0.08 c (within 1.5–6.5 levels of 255), no 4×4 block differs by more than 0.08 c (4–7),
    so that a small thing moved on the same background is another picture, and no cell of the 8×8 colour thumbnails by
    more than 0.25 c (8–16: chroma is what encoders drop first). Re-encoded and rescaled copies pass; flips, crops and
    other pictures of a class do not.
    """
    assert prints.grey is not None and prints.colour is not None
    grey = prints.grey[rows]
    contrast = grey.reshape(len(rows), -1).std(axis=1, dtype=np.float32) if len(rows) else np.zeros(0, np.float32)
    rows, grey, contrast = rows[contrast >= LEAST_CONTRAST], grey[contrast >= LEAST_CONTRAST], contrast[
        contrast >= LEAST_CONTRAST
    ]
    blocks = grey.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 64)
    # Divided by 8 = √64: a root mean square over blocks, which is at most the one over pixels.
    proposed, note = _close(blocks / 8, PICTURE_RADIUS)
    kept = [np.zeros((0, 2), np.int64)]
    for part in np.array_split(proposed, max(1, len(proposed) // 20_000)):
        a, b = part[:, 0], part[:, 1]
        flatter = np.minimum(contrast[a], contrast[b])
        difference = grey[a].astype(np.float32) - grey[b].astype(np.float32)
        same = np.sqrt((difference**2).mean(axis=(1, 2))) <= np.clip(0.08 * flatter, 1.5, PICTURE_RADIUS)
        part, difference, flatter = part[same], difference[same], flatter[same]
        block = np.abs(difference.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))).max(axis=(1, 2), initial=0)
        shade = prints.colour[rows[part]].astype(np.float32)
        shade = np.abs(shade[:, 0] - shade[:, 1]).max(axis=(1, 2, 3), initial=0)
        same = (block <= np.clip(0.08 * flatter, 4, 7)) & (shade <= np.clip(0.25 * flatter, 8, 16))
        kept.append(part[same])
    return _ordered(rows[np.concatenate(kept)]), note


def near_sounds(prints: Prints, rows: np.ndarray) -> tuple[Pairs, str | None]:
    """Pairs among `rows` whose waveforms at 8 kHz agree at their best alignment (cosine ≥ 0.9, lengths within 5 %)."""
    assert prints.energy is not None
    rows = rows[np.abs(prints.energy[rows]).sum(axis=1) > 0] if len(rows) else rows
    energy = prints.energy[rows]
    proposed, note = _close(energy, SOUND_RADIUS)
    distance = np.linalg.norm(energy[proposed[:, 0]] - energy[proposed[:, 1]], axis=1)
    proposed, distance = proposed[distance <= SOUND_RADIUS], distance[distance <= SOUND_RADIUS]
    if len(proposed) > MAX_SOUND_PAIRS:
        proposed = proposed[np.argsort(distance, kind="stable")[:MAX_SOUND_PAIRS]]
        note = f"only the {MAX_SOUND_PAIRS} most alike pairs of sounds were compared sample by sample"
    waves: dict[int, np.ndarray] = {}
    kept = []
    for a, b in rows[proposed]:
        for row in (int(a), int(b)):
            if row not in waves:
                try:
                    waves[row] = waveform(*prints.sources[row])
                except CellError:  # the file changed since it was first read
                    waves[row] = np.zeros(0, np.float32)
        if waves_agree(waves[int(a)], waves[int(b)]):
            kept.append((a, b))
    return _ordered(np.array(kept, np.int64).reshape(-1, 2)), note


def waves_agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two waveforms are the same up to loudness, a shift, and what an encoder changes."""
    from scipy.signal import correlate

    shorter, longer = sorted((len(first), len(second)))
    if shorter == 0 or longer > 1.05 * shorter + 1600:  # 1600 samples: 0.2 s of padding
        return False
    norm = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return norm > 0 and float(correlate(first, second, mode="full", method="fft").max()) >= SOUND_LIKENESS * norm


def near_texts(texts: Sequence[str | None], rows: np.ndarray) -> tuple[Pairs, str | None]:
    """Pairs of long texts (≥ 120 characters) whose 5-character shingles overlap by at least 0.8 (Jaccard)."""
    rows = np.array([row for row in rows if len(texts[row] or "") >= LONG_TEXT], dtype=np.int64)
    if len(rows) < 2:
        return np.zeros((0, 2), np.int64), None
    hashes = _minimum_hashes([texts[row] or "" for row in rows])
    proposed = _banded(hashes, bands=8)
    agreement = (hashes[proposed[:, 0]] == hashes[proposed[:, 1]]).mean(axis=1)
    proposed, agreement = proposed[agreement >= 0.5], agreement[agreement >= 0.5]
    note = None
    if len(proposed) > MAX_TEXT_PAIRS:
        proposed = proposed[np.argsort(-agreement, kind="stable")[:MAX_TEXT_PAIRS]]
        note = f"only the {MAX_TEXT_PAIRS} most alike pairs of texts were compared in full"
    kept = [(a, b) for a, b in rows[proposed] if text_likeness(texts[a] or "", texts[b] or "") >= TEXT_LIKENESS]
    return _ordered(np.array(kept, np.int64).reshape(-1, 2)), note


def text_likeness(first: str, second: str) -> float:
    """Jaccard overlap of the 5-character shingles of two texts.

    >>> text_likeness("the cat sat", "the cat sat")
    1.0
    """
    a, b = ({text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in (first, second))
    return len(a & b) / len(a | b)


def _close(vectors: np.ndarray, radius: float) -> tuple[Pairs, str | None]:
    """Every pair of rows within `radius` on the principal directions (indices into `vectors`)."""
    from scipy.spatial import cKDTree

    if len(vectors) < 2:
        return np.zeros((0, 2), np.int64), None
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    tree = cKDTree(centred @ axes[:, ::-1][:, :DIRECTIONS])
    wanted, note = radius, None
    # Counting is cheap where points lie dense (whole nodes are counted at once); listing pairs there is not.
    while (tree.count_neighbors(tree, radius) - len(vectors)) // 2 > MAX_PROPOSALS:
        radius /= 2
        note = f"so many rows are alike that only the nearest pairs were compared (radius {radius:g} for {wanted:g})"
        if radius < wanted / 64:
            return np.zeros((0, 2), np.int64), "so many rows are alike that near-duplicates were not looked for"
    return tree.query_pairs(radius, output_type="ndarray").astype(np.int64), note


def _minimum_hashes(texts: Sequence[str], *, count: int = 24) -> np.ndarray:
    """uint32 (N, count): for each text the least of `count` hashes over a quarter of its shingles."""
    from gradatim.randomness import generator

    random = generator("minimum hashes")
    multipliers = random.integers(1, 2**63, size=count, dtype=np.uint64) | np.uint64(1)
    result = np.empty((len(texts), count), np.uint32)
    for start in range(0, len(texts), 2000):
        chunk = texts[start : start + 2000]
        points = np.frombuffer("".join(chunk).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        of_point = np.repeat(np.arange(len(chunk)), [len(text) for text in chunk])
        shingles = np.zeros(len(points) - 4, np.uint64)
        for offset in range(5):
            shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + points[offset : offset + len(shingles)]
        shingles ^= shingles >> np.uint64(29)
        owner = of_point[: len(shingles)]
        inside = owner == of_point[4:]
        sampled = inside & (((shingles * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(62)) == 0)
        shingles, owner = shingles[sampled], owner[sampled]
        starts = np.searchsorted(owner, np.arange(len(chunk)))
        empty = np.diff(starts, append=len(owner)) == 0
        for index, multiplier in enumerate(multipliers):
            mixed = np.append(((shingles * multiplier) >> np.uint64(32)).astype(np.uint32), np.uint32(2**32 - 1))
            least = np.minimum.reduceat(mixed, starts)
            # A text without a sampled shingle gets a hash of itself, so that it meets only its equals.
            for lonely in np.flatnonzero(empty).tolist():
                least[lonely] = zlib.crc32(chunk[lonely].encode("utf-8", "surrogatepass"))
            result[start : start + len(chunk), index] = least
    return result


def _banded(hashes: np.ndarray, *, bands: int) -> Pairs:
    """Pairs that agree on a whole band: each member of a bucket with the first and with the one before it."""
    pairs = [np.zeros((0, 2), np.int64)]
    for band in np.split(hashes, bands, axis=1):
        _, bucket = np.unique(band, axis=0, return_inverse=True)
        order = np.argsort(bucket.ravel(), kind="stable")
        sorted_bucket = bucket.ravel()[order]
        same = sorted_bucket[1:] == sorted_bucket[:-1]
        first = np.searchsorted(sorted_bucket, sorted_bucket[1:])
        pairs.append(np.stack([order[:-1][same], order[1:][same]], axis=1))
        pairs.append(np.stack([order[first][same], order[1:][same]], axis=1))
    return _ordered(np.concatenate(pairs))


def _ordered(pairs: Pairs) -> Pairs:
    pairs = np.sort(pairs.astype(np.int64), axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
