"""Dropout as averaging: one scaled net answers for all crippled ones.

Dropout keeps each hidden unit with probability 1 − p and silences the rest: with n units it trains 2ⁿ nets that
share their weights. Asking them all is hopeless for n = 1,000. For one layer of units hⱼ under a logistic answer
σ(Σ vⱼhⱼ), the odds of a crippled net are exp(Σ mⱼvⱼhⱼ), mⱼ = 0 or 1, so the geometric mean of all odds is exp(Σ (1
− p)·vⱼhⱼ): the whole net with its weights times 1 − p, exactly. Inverted dropout divides by 1 − p in training
instead, and the net is used as it stands.

What to notice: the crippled nets disagree widely, and the scaled net is their geometric mean to the last digit; the
plain mean of the probabilities is close, but not the same. A few random masks estimate it with an error that falls
like 1/√masks.
Figure: scaled net 0.679, geometric mean of 4,096 nets the same to 1e-12, arithmetic mean 0.623.
"""

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.engine.activations import sigmoid_of as sigmoid
from gradatim.autodiff.engine.layers import Dropout
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.autodiff.expressiveness import all_inputs
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, INK, ORANGE, SKY, label, paper, style
from gradatim.randomness import generator

UNITS, SHARE = 12, 0.5


def lesson(*, quick: bool = False) -> Result:
    """All 4,096 crippled nets of twelve units, against the scaled one; sampled masks as well."""
    random = generator(0, "dropout")
    pull = random.standard_normal(UNITS)  # what each hidden unit adds to the logit, vⱼhⱼ
    pull += 1.5 / UNITS - pull.mean()  # 1.5 in all
    masks = all_inputs(UNITS)
    chance = (1 - SHARE) ** masks.sum(axis=1) * SHARE ** (UNITS - masks.sum(axis=1))
    answers = sigmoid(masks @ pull)
    yes, no = np.exp(chance @ np.log(answers)), np.exp(chance @ np.log(1 - answers))
    geometric = yes / (yes + no)  # the geometric means of both classes, made to sum to 1
    scaled = float(sigmoid((1 - SHARE) * pull.sum()))

    layer = Dropout(SHARE)  # the inverted form: kept units count 1/(1 − p) times
    draws = 20_000 if quick else 200_000
    sampled = layer(Tensor(np.broadcast_to(pull, (draws, UNITS)))).value.sum(axis=1)
    figures = {
        "crippled nets": len(masks),
        "scaled net": scaled,
        "geometric mean of all nets": geometric,
        "arithmetic mean of all nets": chance @ answers,
        "lowest answer of a net": answers.min(),
        "highest answer of a net": answers.max(),
        "logit of the whole net": pull.sum(),
        "mean logit under inverted dropout": sampled.mean(),
        "standard error of that mean": sampled.std() / np.sqrt(draws),
    }
    text = (
        f"{len(masks):,} crippled nets say anything from {answers.min():.2f} to {answers.max():.2f}. Their geometric "
        f"mean is {geometric:.6f}, and so says the one scaled net; the arithmetic mean is {chance @ answers:.6f}."
    )
    drawn = draw(answers, chance, scaled, float(chance @ answers))
    return Result({name: float(value) for name, value in figures.items()}, drawn, text)


@style()
def draw(answers: np.ndarray, chance: np.ndarray, scaled: float, arithmetic: float) -> Figure:
    """The answers of all crippled nets, and the two means."""
    figure = paper(5.6, 3.8)
    axes = figure.subplots()
    axes.hist(answers, np.linspace(0, 1, 41).tolist(), weights=chance, color=SKY, alpha=0.6)
    top = axes.get_ylim()[1]
    axes.axvline(scaled, color=BLUE)
    axes.axvline(arithmetic, color=ORANGE, linestyle=(0, (5, 2)))
    axes.set(xlim=(0, 1), ylim=(0, 1.3 * top), xlabel="probability of class 1", ylabel="share of the crippled nets",
             title="4,096 crippled nets, and one that answers for them")
    label(axes, scaled, 1.22 * top, f"scaled net and geo-\nmetric mean: {scaled:.3f}", BLUE)
    label(axes, arithmetic, 1.22 * top, f"arithmetic\nmean: {arithmetic:.3f}", ORANGE, dx=-6, ha="right")
    label(axes, 0.03, 0.62 * top, "each net keeps\nanother half\nof the units", INK, dx=0, size=9.5)
    return figure
