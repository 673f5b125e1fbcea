"""What may happen to the cells of a column: the options of augmentation, read, checked, stored."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from gradatim.data.codecs import checks
from gradatim.errors import GradatimError, SchemaError

# option → (the kinds of column that it is for, its largest value); all start at 0, which is 'off'
LIMITS: dict[str, tuple[str, float]] = {
    "flip": ("image", 1.0), "flip_vertical": ("image", 1.0), "rotate": ("image", 180.0),
    "scale": ("image or series", 4.0), "shear": ("image", 60.0), "shift": ("image, audio or series", 1.0),
    "crop": ("image or series", 1.0), "brightness": ("image", 1.0), "contrast": ("image", 1.0),
    "saturation": ("image", 1.0), "hue": ("image", 0.5), "grey": ("image", 1.0), "noise": ("image", 10.0),
    "blur": ("image", 32.0), "cutout": ("image", 1.0), "gain": ("audio", 60.0), "speed": ("audio", 1.0),
    "snr": ("audio", 100.0),
    "time_mask": ("audio", 1e6), "frequency_mask": ("audio", 512), "word_dropout": ("text", 1.0),
    "jitter": ("number or series", 10.0), "warp": ("series", 0.9),
}
MIXING = {"mixup": 100.0, "cutmix": 100.0}  # of whole rows, not of a column: the strength α of their Beta(α, α)
COLOUR_HUE = 0.25  # `colour=X` turns hues by this times X of the circle


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may happen to the cells of one column; zero: it does not. An option of another kind is ignored.

    Pictures: flip, flip_vertical (share of the rows mirrored left to right, upside down), rotate (degrees, up to, both
    ways), scale (up to 1 + this times larger or smaller), shear (degrees), shift (share of the side, whole pixels),
    crop (least share of the area that a window keeps before it is stretched to the whole again, in 0…1; 0: no crop),
    brightness, contrast, saturation (factors from 1 − this to 1 + this), hue (share of the circle), grey (share of
    the rows without colour), noise (standard deviation, as a share of the range), blur (largest standard deviation of
    the Gaussian in pixels), cutout (side of a square filled with `fill`, as a share of the picture's).
    Sounds: time_mask (up to so many frames are silenced), frequency_mask (up to so many bands); and of the waveform:
    gain (decibels, both ways), snr (white noise so many decibels below the sound, drawn from this to 30 more), shift
    (share of the length), speed (up to 1 + this times faster or slower, the pitch with it). Series: crop (least share
    of the steps that a window keeps before it is stretched to the whole), warp (by how much the speed varies along a
    row), shift (share of the steps), scale (as of pictures, but of the values), jitter. Texts: word_dropout (share of
    tokens that become unknown). Numbers, series: jitter, in standard deviations.
    """

    flip: float = 0.0
    flip_vertical: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    crop: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    cutout: float = 0.0
    fill: int = 128
    time_mask: int = 0
    frequency_mask: int = 0
    word_dropout: float = 0.0
    jitter: float = 0.0
    gain: float = 0.0
    speed: float = 0.0
    snr: float = 0.0
    warp: float = 0.0

    def __post_init__(self) -> None:
        checks.whole(self.fill, "fill", 0, 255)
        for name, (_, most) in LIMITS.items():
            value = getattr(self, name)
            if name in ("time_mask", "frequency_mask"):
                checks.whole(value, name, 0, int(most))
            else:
                checks.real(value, name, 0.0, most)

    @property
    def moves(self) -> bool:
        """Whether places in a picture change, so that boxes, points and masks must follow."""
        names = ("flip", "flip_vertical", "rotate", "scale", "shear", "shift", "crop")
        return any(getattr(self, name) for name in names)

    @property
    def resamples(self) -> bool:
        """Whether pixels are interpolated; mirrors and whole-pixel shifts only copy them."""
        return any(getattr(self, name) for name in ("rotate", "scale", "shear", "crop"))

    @property
    def relights(self) -> bool:
        """Whether colours change."""
        return any(getattr(self, name) for name in ("brightness", "contrast", "saturation", "hue", "grey", "noise"))

    @property
    def changes_waves(self) -> bool:
        """Whether a sound is changed before its spectrogram is taken."""
        return any(getattr(self, name) for name in ("gain", "snr", "shift", "speed"))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Augmentation":
        """Read what `to_json` wrote; unknown options are an error."""
        known = [entry.name for entry in fields(cls)]
        if not isinstance(value, dict) or not set(value) <= set(known):
            raise SchemaError(f"expected augmentation options among {', '.join(known)}")
        return cls(**value)


def is_for(option: str, kind: str) -> bool:
    """Whether an option says anything to a column of this kind.

    >>> is_for("shift", "series"), is_for("shift", "text")
    (True, False)
    """
    return kind in LIMITS[option][0].replace(" or ", ", ").split(", ")


def default_augmentation(kind: str, describe: Mapping[str, Any]) -> Augmentation:
    """A careful choice from what the codec says of the column.

    Pictures are shifted by up to a fourteenth of their side, but never flipped or turned: a mirrored letter or digit
    is another one, and only the user knows. Sounds lose up to a tenth of their frames and an eighth of their bands;
    texts one token in twenty; series get noise of a thirtieth of their deviation. Numbers and categories are left
    alone.

    >>> round(default_augmentation("image", {"size": 28, "mean": [0.5]}).shift * 28)
    2
    """
    if kind == "image":
        mean = describe.get("mean") or [0.5]
        size = int(describe["size"])
        return Augmentation(shift=max(1, round(size / 14)) / size, fill=round(255 * sum(mean) / len(mean)))
    if kind == "audio":
        return Augmentation(time_mask=int(describe.get("max_frames", 0)) // 10,
                            frequency_mask=int(describe["mels"]) // 8)
    if kind == "text":
        return Augmentation(word_dropout=0.05)
    if kind == "series":
        return Augmentation(jitter=0.03)
    return Augmentation()


@dataclass(frozen=True, slots=True)
class AugmentRequest:
    """What the user asked for: options for every column, for single columns or kinds, and the mixing of rows.

    none: nothing is changed but what is asked for; otherwise the careful defaults stand.

    >>> asked = AugmentRequest.parse(["rotate=15,colour=0.2", "photo:flip=0.5", "cutmix=1"])
    >>> asked.cutmix, asked.of("photo", "image", Augmentation()).flip, asked.of("scan", "image", Augmentation()).flip
    (1.0, 0.5, 0.0)
    """

    everywhere: Mapping[str, float]
    places: Mapping[str, Mapping[str, float]]
    mixup: float = 0.0
    cutmix: float = 0.0
    none: bool = False

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "AugmentRequest":
        """Read `NAME=VALUE,…`, `COLUMN_OR_KIND:NAME=VALUE,…` and `none`; GradatimError in one line."""
        everywhere: dict[str, float] = {}
        places: dict[str, dict[str, float]] = {}
        mixing = dict.fromkeys(MIXING, 0.0)
        none = False
        for text in texts:
            place, colon, rest = text.partition(":") if ":" in text.split("=")[0] else ("", "", text)
            if not rest.strip(", "):
                raise GradatimError(f"--augment '{text}': expected NAME=VALUE,… or none, received nothing")
            found = places.setdefault(place, {}) if colon else everywhere
            for part in filter(None, (entry.strip() for entry in rest.split(","))):
                if part == "none" and not colon:
                    none = True
                    continue
                name, value = _option(part, text)
                if name in MIXING:
                    if colon:
                        raise GradatimError(f"--augment {text}: expected {name} without a column, it mixes whole rows")
                    mixing[name] = value
                elif name == "colour":
                    found |= dict.fromkeys(("brightness", "contrast", "saturation"), value)
                    found["hue"] = COLOUR_HUE * value
                else:
                    found[name] = value
        return cls(everywhere, places, none=none, **mixing)

    def of(self, column: str, kind: str, default: Augmentation) -> Augmentation:
        """The options of one column: its default, then what was said of all, of its kind, of itself."""
        chosen = Augmentation(fill=default.fill) if self.none else default
        for found in (self.everywhere, self.places.get(kind, {}), self.places.get(column, {})):
            fitting = {name: value for name, value in found.items() if is_for(name, kind)}
            for name in ("time_mask", "frequency_mask"):
                if name in fitting:
                    fitting[name] = int(fitting[name])
            chosen = replace(chosen, **fitting)  # type: ignore[arg-type]
        return chosen

    def check(self, kinds: Mapping[str, str]) -> None:
        """Refuse options that no input column has a use for; kinds: input column → its kind."""
        for place, found in self.places.items():
            there = [kind for column, kind in kinds.items() if place in (column, kind)]
            if not there:
                known = ", ".join(sorted({*kinds, *kinds.values()}))
                raise GradatimError(f"--augment {place}:…: expected an input column or kind among {known}")
            _refuse_idle(found, there, f"{place}:")
        _refuse_idle(self.everywhere, list(kinds.values()), "")
        rest = [f"{column} ({kind})" for column, kind in kinds.items() if kind != "image"]
        if self.cutmix and rest:
            raise GradatimError(f"--augment cutmix: expected pictures alone as inputs, found {', '.join(rest[:3])}")


def _option(part: str, text: str) -> tuple[str, float]:
    """One NAME=VALUE with the value in its range."""
    name, equals, value = (piece.strip() for piece in part.partition("="))
    name = name.replace("-", "_")
    limits = {option: most for option, (_, most) in LIMITS.items()} | MIXING | {"colour": 1.0}
    if name not in limits:
        raise GradatimError(f"--augment {text}: expected options among {', '.join(limits)}; received '{name}'")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not equals or not 0 <= number <= limits[name]:
        raise GradatimError(f"--augment {text}: {name}: expected a number from 0 to {limits[name]:g}, "
                            f"received '{value}'")
    if name in ("time_mask", "frequency_mask") and number != int(number):
        raise GradatimError(f"--augment {text}: {name}: expected a whole number, received '{value}'")
    return name, number


def _refuse_idle(found: Mapping[str, float], kinds: Sequence[str], place: str) -> None:
    for name in found:
        if not any(is_for(name, kind) for kind in kinds):
            raise GradatimError(f"--augment {place}{name}: expected an input of kind {LIMITS[name][0]}, found "
                                f"{', '.join(dict.fromkeys(kinds)) or 'none'}")
