"""Bias or variance: which part of the error is larger, and what to do about it first.

error = unavoidable + avoidable bias + variance, with the training error over the unavoidable one as avoidable
bias and the development error over the training error as variance (Ng 2018, Machine Learning Yearning,
chapters 20 to 27). Bayes error is at most human error.
"""

from typing import Any

from gradatim.errors import DataError
from gradatim.evaluate.metrics import metric_named

# A part under a tenth of the way from guessing to perfect is small.
SMALL = 0.1
NOTHING = 1e-9
FIRST = {
    "perfect": "First ask whether new rows will be as easy: that no input gives the target away, and that the rows "
               "compared do not repeat those of training.",
    "no room": "First find rows on which the baseline errs: more classes, rarer cases, or another metric.",
    "no signal": "First look whether the inputs carry the target at all: plot a few rows, check labels and joins.",
    "bias": "First a larger network or more epochs, then better inputs or features, then less regularisation.",
    "variance": "First more data or augmentation, then more regularisation (weight decay, dropout, earlier stop), "
                "then a smaller network.",
    "both": "First a larger network until the training score is good, then more data or augmentation.",
    "small": "What is left is small or within chance: more test rows would show more than another model.",
}


def advice(
    training: float,
    development: float,
    baseline: float,
    *,
    metric: str,
    task: str | None = None,
    human: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, Any]:
    """Name the larger part of the error and the first remedy.

    training, development, baseline: values of `metric` (one that is bounded by 1 when higher is better, by 0 when
    lower is) on training rows, on development rows, and of majority or mean; task: checked against the metric's
    when given; human: what people reach;
    low, high: the development value's interval. Gives {cause, avoidable_bias, variance, sentences}; cause is
    "perfect" (no error on either rows), "no room" (the baseline makes no error that could be avoided), "no signal",
    "bias", "variance", "both" or "small".

    >>> advice(0.99, 0.80, 0.5, metric="accuracy")["cause"]
    'variance'
    """
    if task is not None and metric_named(metric).task != task:
        raise DataError(f"expected a metric of {task}, received {metric}, which is one of {metric_named(metric).task}")
    rising = metric_named(metric).higher_is_better

    def error_of(value: float) -> float:
        return 1 - value if rising else value

    floor = 0.0 if human is None else error_of(human)
    train, dev, start = error_of(training), error_of(development), error_of(baseline)
    span = max(start - floor, 1e-12)
    bias, variance = train - floor, dev - train
    noise = abs(high - low) / 2 if low is not None and high is not None else 0.0
    large_bias = min(train, dev) - floor > SMALL * span  # without error on other rows there is nothing to avoid
    large_variance = variance > max(SMALL * span, noise)
    if max(train, dev) <= NOTHING:
        cause = "perfect"
    elif start - floor <= NOTHING:
        cause = "no room"
    elif train > start - SMALL * span and dev > start - max(SMALL * span, noise):
        cause = "no signal"
    elif large_bias and large_variance:
        cause = "both" if 0.5 < bias / variance < 2 else ("bias" if bias > variance else "variance")
    elif large_bias or large_variance:
        cause = "bias" if large_bias else "variance"
    else:
        cause = "small"
    gaps = {"training": training, "development": development, "baseline": baseline, "human": human}
    sentences = [_gap_sentence(gaps, metric, bias, variance), _verdict(cause, bias, variance, metric, dev > start),
                 FIRST[cause]]
    if human is None and cause in ("bias", "both"):
        sentences.append("Without a human score, part of what is called bias may be unavoidable: "
                         "judge a hundred rows yourself.")
    return {"cause": cause, "avoidable_bias": bias, "variance": variance, "sentences": sentences}


def _gap_sentence(gaps: dict[str, float | None], metric: str, bias: float, variance: float) -> str:
    said = [f"{name} {_show(value, metric)}" for name, value in gaps.items() if value is not None]
    return f"{metric_named(metric).title[:1].upper() + metric_named(metric).title[1:]}: {', '.join(said)}."


def _verdict(cause: str, bias: float, variance: float, metric: str, worse: bool) -> str:
    sizes = f"avoidable bias {_show(max(bias, 0.0), metric)}, variance {_show(max(variance, 0.0), metric)}"
    return {
        "perfect": "No error on the training rows and none on rows that were not seen: nothing is left to improve.",
        "no room": "The baseline makes no error that could be avoided, so bias and variance have nothing to be "
                   "measured against" + ("; the model is worse than the baseline." if worse else "."),
        "no signal": "The model hardly does better than the baseline, even on its training rows.",
        "bias": f"Bias is the larger part of the error ({sizes}): the model does not fit its own training rows.",
        "variance": f"Variance is the larger part of the error ({sizes}): what is learned does not carry over.",
        "both": f"Bias and variance are of like size ({sizes}).",
        "small": f"Neither bias nor variance stands out ({sizes}).",
    }[cause]


def _show(value: float, metric: str) -> str:
    return f"{value:.1%}" if metric_named(metric).percent else f"{value:.4g}"
