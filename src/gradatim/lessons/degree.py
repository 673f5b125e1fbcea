"""Under- and overfitting by degree: the training error always falls, the error on new points falls and then rises.

Twenty noisy points of a sine, fitted by polynomials of degree 0 to 12. With the points' places fixed, the expected
errors have closed forms. With p = degree + 1 weights, n points and noise of variance σ²:
  training error  =  bias² + σ²·(1 − p/n)
  error on new points  =  σ² + bias² + variance,  variance = σ²·mean ‖hat row‖²
where the bias is what the polynomial cannot bend to, and the hat row says how a new point's answer leans on each
training point.

What to notice: the training error passes below the noise itself — beyond that the curve learns the noise by heart.
Degree 1 has too much bias, degree 12 too much variance; the best lies between, and the training error does not show
it. That is why a development set is kept.
Figure: the lowest expected error on new points is at degree 5: 0.0504, of which the noise is 0.04.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.polynomial import chebyshev

from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, GREEN, MUTED, ORANGE, PURPLE, label, paper, plain, style
from gradatim.randomness import generator

POINTS, NOISE, DEGREES = 20, 0.2, range(13)


def truth(x: np.ndarray) -> np.ndarray:
    """The curve under the noise."""
    return np.sin(np.pi * x)


def lesson(*, quick: bool = False) -> Result:
    """Closed forms for all degrees, and measured over many draws of the noise (fewer when quick)."""
    x, new = np.linspace(-1, 1, POINTS), np.linspace(-1, 1, 401)
    draws = 200 if quick else 4000
    noise = NOISE * generator(0, "degree").standard_normal((POINTS, draws))
    training, development, measured = [], [], []
    for degree in DEGREES:
        design, there = chebyshev.chebvander(x, degree), chebyshev.chebvander(new, degree)
        solve = np.linalg.pinv(design)
        bias_here = ((design @ solve @ truth(x) - truth(x)) ** 2).mean()
        bias_there = ((there @ solve @ truth(x) - truth(new)) ** 2).mean()
        variance = NOISE**2 * ((there @ solve) ** 2).sum(axis=1).mean()
        training.append(bias_here + NOISE**2 * (1 - (degree + 1) / POINTS))
        development.append(NOISE**2 + bias_there + variance)
        answers = there @ solve @ (truth(x)[:, None] + noise)
        measured.append(NOISE**2 + ((answers - truth(new)[:, None]) ** 2).mean())
    best = int(np.argmin(development))
    figures = {
        "best degree": best,
        "error on new points at the best degree": development[best],
        "error on new points at degree 1": development[1],
        "error on new points at degree 12": development[12],
        "training error at degree 1": training[1],
        "training error at degree 12": training[12],
        "largest relative gap between measured and closed form": abs(np.divide(measured, development) - 1).max(),
    }
    text = (
        f"On new points degree {best} is best ({development[best]:.4f}, the noise alone is {NOISE**2:.2f}); "
        f"by the training error one would have chosen degree 12 ({training[12]:.4f} there, {development[12]:.4f} on "
        f"new points). {draws} draws of the noise agree with the closed forms."
    )
    drawn = draw(x, truth(x) + noise[:, 0], np.array(training), np.array(development), best)
    return Result({name: float(value) for name, value in figures.items()}, drawn, text)


@style()
def draw(x: np.ndarray, y: np.ndarray, training: np.ndarray, development: np.ndarray, best: int) -> Figure:
    """Above: three fits of one draw; below: the two errors by degree."""
    figure = paper(5.6, 6.6)
    above, below = figure.subplots(2, 1)
    fine = np.linspace(-1, 1, 300)
    above.plot(x, y, "o", color=MUTED, markersize=4)
    kinds = ((1, PURPLE, "underfits"), (best, GREEN, "follows"), (12, ORANGE, "wriggles"))
    for row, (degree, colour, verb) in enumerate(kinds):
        above.plot(fine, chebyshev.chebval(fine, chebyshev.chebfit(x, y, degree)), color=colour)
        label(above, -1.0, 1.2, f"degree {degree} {verb}", colour, dx=0, dy=-16 * row)
    above.set(xlabel="x", ylabel="y", ylim=(-1.5, 1.5), title="One noisy sine, three polynomials")
    below.axhline(NOISE**2, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    below.plot(DEGREES, training, "o-", color=BLUE, markersize=4)
    below.plot(DEGREES, development, "o-", color=ORANGE, markersize=4)
    below.plot(best, development[best], "o", color=ORANGE, markersize=11, markerfacecolor="none", markeredgewidth=1.8)
    below.set(yscale="log", xlabel="degree", ylabel="expected squared error",
              title="What training shows, and what counts")
    below.set_ylim(0.007, 0.7)
    plain(below.yaxis)
    label(below, 12, training[-1], "on the training points", BLUE, dx=2, dy=-14, ha="right")
    label(below, 12, development[-1], "on new points", ORANGE, dx=2, dy=13, ha="right")
    label(below, 0, NOISE**2, "the noise itself", MUTED, dx=0, dy=-9)
    label(below, best, development[best], f"best: {best}", ORANGE, dx=0, dy=18, ha="center")
    return figure
