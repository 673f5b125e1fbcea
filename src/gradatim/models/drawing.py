"""A network as a picture that a phone shows whole: a row a layer, space on the left, channels on the right.

On their way to the answer maps get smaller and more numerous. Each row has two bars, from the middle outwards: the side
of the map to the left and its channels to the right, both on a logarithmic scale; beside them stand the layer, its
output, its parameters and how many pixels of the input a place of it sees. Activations and normalisations, which change
no size, are named with the layer before them.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from gradatim.models.summary import Layer, Summary

WIDTH, ROW, TOP, HALF, MIDDLE, TEXT = 400, 44, 124, 58, 73, 146
LIGHT = {"paper": "#fcfcfa", "ink": "#1c2226", "muted": "#5d686f", "rule": "#dcdfdc", "accent": "#1f5f99",
         "second": "#b8651b", "third": "#2f7d57"}
DARK = {"paper": "#14181b", "ink": "#e4e7e6", "muted": "#9aa5aa", "rule": "#323a3f", "accent": "#6cabe4",
        "second": "#e09a55", "third": "#6dbd95"}
ACTIVATIONS = ("ReLU", "ReLU6", "GELU", "SiLU", "Tanh", "Sigmoid", "LeakyReLU", "ELU", "SELU", "Softplus", "Maxout",
               "Dropout", "Dropout2d", "Identity", "Flatten", "LocalResponseNorm")
MOST_ROWS = 120
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One row of the picture: a layer, and what follows it without changing its size."""

    layer: Layer
    followed: tuple[str, ...] = ()
    times: int = 1


def network_svg(found: Summary, *, title: str, input_shape: Sequence[int]) -> str:
    """The picture as SVG, 400 units wide, light or dark as the reader's setting is; no script, no link.

    title: the network's name. input_shape: of one batch, (B, C, H, W) or any other.
    """
    rows = drawn_rows(found.layers)
    hidden = len(rows) - MOST_ROWS
    rows = rows[:MOST_ROWS]
    most_side = max([_side(input_shape), *(_side(row.layer.shape) for row in rows), 2])
    most_channels = max([_channels(input_shape), *(_channels(row.layer.shape) for row in rows), 2])
    scale = HALF / math.log2(most_side + 1), HALF / math.log2(most_channels + 1)
    start = Layer("input", "", tuple(input_shape), 0)
    body = [_head(found, title), _row(Drawn(start), TOP, scale)]
    for place, row in enumerate(rows, start=1):
        body.append(_row(row, TOP + place * ROW, scale))
    bottom = TOP + (len(rows) + 1) * ROW
    if hidden > 0:
        body.append(_text(TEXT, bottom + 14, f"and {hidden} more layers; a smaller --depth shows them closed", "muted"))
        bottom += 24
    height = bottom + 12
    spoken = f"{title}: {found.parameters:,} parameters, {found.multiply_adds:,} multiply-adds, {len(rows)} layers"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gd-net" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{_clean(spoken)}"><title>{_clean(spoken)}</title>'
        f'<style>{_STYLE}</style><rect class="paper" width="{WIDTH}" height="{height}"/>' + "\n".join(body)
        + "</svg>\n"
    )


def drawn_rows(layers: Sequence[Layer]) -> list[Drawn]:
    """The layers that hold no other, each with the small ones behind it; equal neighbours become one with a count."""
    leaves = [layer for layer in layers if layer.shape is not None
              and not any(other.name.startswith(f"{layer.name}.") for other in layers)]
    rows: list[Drawn] = []
    for layer in leaves:
        same = bool(rows) and rows[-1].layer.shape == layer.shape
        small = layer.kind in ACTIVATIONS or "Norm" in layer.kind
        if rows and small and (same or layer.kind in ("Flatten", "Dropout")):
            last = rows[-1]
            merged = replace(last.layer, parameters=last.layer.parameters + layer.parameters,
                             multiply_adds=last.layer.multiply_adds + layer.multiply_adds)
            known = {"BatchNorm2d": "norm", "BatchNorm1d": "norm"}.get(layer.kind, layer.kind)
            followed = last.followed if known == "Identity" else (*last.followed, known)
            rows[-1] = Drawn(merged, followed, last.times)
        elif small and layer.kind in ("Identity", "Dropout"):
            continue
        else:
            rows.append(Drawn(layer))
    return rows


def _side(shape: Sequence[int] | None) -> int:
    """The longer side of a map, or the length of a sequence; 0 where there is none."""
    return 0 if shape is None or len(shape) < 3 else max(shape[2:]) if len(shape) > 3 else shape[1]


def _channels(shape: Sequence[int] | None) -> int:
    return 0 if shape is None or len(shape) < 2 else shape[1] if len(shape) != 3 else shape[2]


def _head(found: Summary, title: str) -> str:
    totals = f"{short_number(found.parameters)} parameters · {short_number(found.multiply_adds)} multiply-adds"
    memory = f"{short_bytes(found.activation_bytes)} of activations"
    return "".join([
        _text(14, 28, title, "ink", size=17, bold=True), _text(14, 49, totals, "muted"), _text(14, 67, memory, "muted"),
        '<rect class="second" x="14" y="79" width="10" height="10" rx="2"/>',
        _text(28, 88, "side of the map", "muted", size=11.5),
        '<rect class="accent" x="130" y="79" width="10" height="10" rx="2"/>',
        _text(144, 88, "channels", "muted", size=11.5),
        _text(WIDTH - 14, 88, "logarithmic scales", "muted", size=11.5, anchor="end"),
        f'<path class="line" d="M14 98H{WIDTH - 14}"/>',
    ])


def _row(row: Drawn, y: float, scale: tuple[float, float]) -> str:
    layer, shape = row.layer, row.layer.shape or ()
    side, channels = _side(shape), _channels(shape)
    wide, many = scale[0] * math.log2(side + 1) if side else 0.0, scale[1] * math.log2(channels + 1)
    left = MIDDLE - wide
    parts = [f'<path class="line" d="M{MIDDLE} {y - 9}V{y + ROW - 15}"/>']
    if wide:
        parts.append(f'<rect class="second" x="{left:.1f}" y="{y - 5}" width="{wide - 1.5:.1f}" height="22" rx="2.5"/>')
    parts.append(f'<rect class="accent" x="{MIDDLE + 1.5:.1f}" y="{y - 5}" width="{max(many - 1.5, 1):.1f}" '
                 'height="22" rx="2.5"/>')
    counts = f"{short_number(layer.parameters)} weights" if layer.parameters else ""
    below = " · ".join(part for part in (counts, seen_text(layer)) if part)
    detail = layer.detail.replace(" × ", "×").replace(", stride ", "/")
    said = " ".join(part for part in ("" if layer.name.endswith(")") else layer.kind, detail) if part)
    followed = said + (" + " if said and row.followed else "") + ", ".join(row.followed)
    sizes = shape_text(shape[1:])
    parts.append(_text(TEXT, y + 2, cut(layer.name, _letters(sizes, 13, bold=True)), "ink", bold=True))
    parts.append(_text(WIDTH - 14, y + 2, sizes, "ink", anchor="end"))
    parts.append(_text(TEXT, y + 18, ended(followed, _letters(below, 11)), "muted", size=11))
    parts.append(_text(WIDTH - 14, y + 18, below, "muted", size=11, anchor="end"))
    return "".join(parts)


def _letters(right: str, size: float, *, bold: bool = False) -> int:
    """How many letters fit beside a text that ends at the right edge."""
    return max(int((WIDTH - 14 - TEXT - 0.57 * size * len(right) - 8) / ((0.64 if bold else 0.57) * size)), 4)


def seen_text(layer: Layer) -> str:
    """'sees 43', 'sees 3 × 5', 'sees all'; empty without a picture."""
    if layer.receptive_field is None:
        return ""
    if any(math.isinf(side) for side in layer.receptive_field):
        return "sees all"
    sides = [f"{side:g}" for side in layer.receptive_field]
    return "sees " + (sides[0] if len(set(sides)) == 1 else " × ".join(sides))


def shape_text(shape: Sequence[int]) -> str:
    """(64, 32, 32) → '64 × 32 × 32'."""
    return " × ".join(map(str, shape))


def short_number(count: float) -> str:
    """Three digits and k, M, G or T.

    >>> short_number(15_470_264_320), short_number(760)
    ('15.5 G', '760')
    """
    for size, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            value = count / size
            return f"{value:.0f} {sign}" if value >= 99.95 else f"{value:.3g} {sign}"
    return f"{count:g}"


def short_bytes(count: float) -> str:
    """Bytes as kB, MB or GB of 1000.

    >>> short_bytes(60_311_552)
    '60.3 MB'
    """
    return f"{count:.0f} bytes" if count < 1000 else f"{short_number(count)}B"


def ended(text: str, longest: int) -> str:
    """The text, its end cut where it is longer."""
    return text if len(text) <= longest else text[: longest - 1].rstrip(" ,+") + "…"


def cut(text: str, longest: int) -> str:
    """The text, cut in the middle where it is longer."""
    if len(text) <= longest:
        return text
    front = (longest - 1) // 2
    return f"{text[:front]}…{text[len(text) - (longest - 1 - front):]}"


def _clean(text: str) -> str:
    return escape(_CONTROL.sub(" ", text))


def _text(x: float, y: float, text: str, colour: str, *, size: float = 13, bold: bool = False,
          anchor: str = "start") -> str:
    extra = (' font-weight="600"' if bold else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text class="{colour}" x="{x}" y="{y}" font-size="{size}"{extra}>{_clean(text)}</text>' if text else ""


_STYLE = (
    ".gd-net{" + "".join(f"--n-{name}:{colour};" for name, colour in LIGHT.items())
    + "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
    "font-variant-numeric:tabular-nums;max-width:100%}@media (prefers-color-scheme:dark){.gd-net{"
    + "".join(f"--n-{name}:{colour};" for name, colour in DARK.items()) + "}}"
    + "".join(f".gd-net .{name}{{fill:var(--n-{name})}}" for name in LIGHT)
    + ".gd-net .line{stroke:var(--n-rule);fill:none}"
)
