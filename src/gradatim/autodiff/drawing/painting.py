"""A scene as PNG through matplotlib, where SVG is not wanted: the same shapes in the light colours."""

import io

from gradatim.autodiff.drawing.scene import LIGHT, Box, Curve, Scene, Words, arrow_head, bezier
from gradatim.errors import GradatimError

LARGEST_SIDE = 12_000


def painted(scene: Scene, *, scale: float = 2.0, step: int | None = None) -> bytes:
    """PNG bytes of the finished picture, or of one step, in `scale` pixels a unit.

    Raises GradatimError where a side would be over 12,000 pixels.
    """
    if max(scene.width, scene.height) * scale > LARGEST_SIDE:
        raise GradatimError(f"expected a picture of at most {LARGEST_SIDE} pixels a side, received one of "
                            f"{scene.width * scale:.0f} × {scene.height * scale:.0f}; write SVG, or a smaller scale")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    unit = 72.0 / 100.0  # points a unit at 100 dots an inch
    figure = Figure(figsize=(scene.width / 100.0, scene.height / 100.0), dpi=100.0 * scale, facecolor=LIGHT["paper"])
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.axis("off")
    for order, shape in enumerate(scene.visible(step)):
        if isinstance(shape, Box):
            axes.add_patch(FancyBboxPatch(
                (shape.x, shape.y), shape.width, shape.height, zorder=order + 1,
                boxstyle=f"round,pad=0,rounding_size={min(shape.radius, shape.height / 2, shape.width / 2)}",
                facecolor=LIGHT[shape.fill] if shape.fill else "none", edgecolor=LIGHT[shape.stroke],
                linewidth=shape.thickness * unit, linestyle=(0, (4, 3)) if shape.dashed else "-"))
        elif isinstance(shape, Curve):
            points, codes = [shape.points[0]], [Path.MOVETO]
            for _, first, second, end in bezier(shape.points, shape.down):
                points += [first, second, end]
                codes += [Path.CURVE4] * 3
            axes.add_patch(PathPatch(Path(points, codes), zorder=order + 1, fill=False, edgecolor=LIGHT[shape.stroke],
                                     linewidth=shape.thickness * unit, linestyle=(0, (4, 3)) if shape.dashed else "-"))
            if shape.tip:
                axes.add_patch(Polygon(arrow_head(shape, 5.0 + 1.5 * shape.thickness), zorder=order + 1,
                                       facecolor=LIGHT[shape.stroke], edgecolor="none"))
        else:
            _write(axes, shape, order + 1, unit)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _write(axes: object, words: Words, order: int, unit: float) -> None:
    from matplotlib.axes import Axes
    from matplotlib.patheffects import withStroke

    assert isinstance(axes, Axes)
    text = axes.text(
        words.x, words.y, words.text, fontsize=words.size * unit * 0.94, color=LIGHT[words.colour], zorder=order,
        ha={"start": "left", "middle": "center", "end": "right"}[words.anchor], va="baseline", parse_math=False,
        fontweight="bold" if words.bold else "normal",
    )
    if words.halo:
        text.set_path_effects([withStroke(linewidth=3.0, foreground=LIGHT["paper"])])
