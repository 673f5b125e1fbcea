"""First-order optimisers, each a few lines under its published equation, on NumPy arrays.

Every rule has one shape: `rule(parameters, gradient, state, *, learning_rate, …) -> (parameters, state)`. The state is
a dictionary, empty before the first step; nothing is changed in place, so a path can be replayed from any point of it.
In the equations θ are the parameters, g the gradient of the loss at θ, η the learning rate, λ the weight decay, and all
products, roots and quotients are taken element by element.

Weight decay is added to the gradient, g ← g + λθ, as if the loss had ½λ‖θ‖² more; `adamw` and `muon` take it off the
parameters instead, which is not the same thing once the gradient is divided by its size.

Gradient descent, mini-batch and stochastic gradient descent are one rule, `descent`: what differs is over how many
samples the gradient was averaged. Where torch.optim has a rule, this one follows it number for number.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import numpy as np

from gradatim.autodiff.engine.tensor import Tensor
from gradatim.errors import GradatimError

Array = np.ndarray
State = Mapping[str, Any]
Step = tuple[Array, dict[str, Any]]


def descent(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, weight_decay: float = 0.0
) -> Step:
    """Gradient descent: θ ← θ − ηg (Cauchy 1847; with sampled gradients Robbins & Monro 1951).

    >>> descent(np.array([4.0]), np.array([8.0]), {}, learning_rate=0.25)
    (array([2.]), {})
    """
    g = gradient + weight_decay * parameters
    return parameters - learning_rate * g, {}


def momentum_of_gradients(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Step:
    """v ← βv + g;  θ ← θ − ηv (torch's momentum: the rate stands outside, the velocity is a sum of gradients).

    A new learning rate acts on the whole velocity at once; in `momentum_of_steps` only on what is added from then on.
    At a constant rate the two walk the same path, with v = −v'/η.
    """
    g = gradient + weight_decay * parameters
    velocity = momentum * state.get("velocity", 0.0) + g
    return parameters - learning_rate * velocity, {"velocity": velocity}


def momentum_of_steps(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Step:
    """v ← μv − ηg;  θ ← θ + v (Polyak 1964; Sutskever et al. 2013, eq. 1–2: the velocity is a sum of steps)."""
    g = gradient + weight_decay * parameters
    velocity = momentum * state.get("velocity", 0.0) - learning_rate * g
    return parameters + velocity, {"velocity": velocity}


def nesterov_look_ahead(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Step:
    """v ← μv − ηg(θ + μv);  θ ← θ + v (Nesterov 1983; Sutskever et al. 2013, eq. 3–4).

    gradient: taken where `look_ahead(parameters, state, momentum)` says, not at the parameters.
    """
    g = gradient + weight_decay * look_ahead(parameters, state, momentum)
    velocity = momentum * state.get("velocity", 0.0) - learning_rate * g
    return parameters + velocity, {"velocity": velocity}


def look_ahead(parameters: Array, state: State, momentum: float = 0.9) -> Array:
    """θ + μv: where the velocity alone would lead, and where `nesterov_look_ahead` wants its gradient."""
    return parameters + momentum * state.get("velocity", 0.0)


def nesterov_rearranged(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Step:
    """v ← βv + g;  θ ← θ − η(g + βv) (Bengio et al. 2013; torch's nesterov=True): the gradient is taken at θ itself.

    At a constant rate its parameters are exactly the points at which the look-ahead form takes its gradients.
    """
    g = gradient + weight_decay * parameters
    velocity = momentum * state.get("velocity", 0.0) + g
    return parameters - learning_rate * (g + momentum * velocity), {"velocity": velocity}


def adagrad(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, epsilon: float = 1e-10,
    weight_decay: float = 0.0,
) -> Step:
    """G ← G + g²;  θ ← θ − ηg / (√G + ε) (Duchi, Hazan & Singer 2011): G only grows, the step only shrinks."""
    g = gradient + weight_decay * parameters
    total = state.get("total", 0.0) + g**2
    return parameters - learning_rate * g / (np.sqrt(total) + epsilon), {"total": total}


def adadelta(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float = 1.0, decay: float = 0.9,
    epsilon: float = 1e-6, weight_decay: float = 0.0,
) -> Step:
    """E[g²] ← ρE[g²] + (1−ρ)g²;  Δ = g √(E[Δ²] + ε) / √(E[g²] + ε);  E[Δ²] ← ρE[Δ²] + (1−ρ)Δ²;  θ ← θ − ηΔ.

    Zeiler 2012, algorithm 1, where η = 1. The second average is what makes it AdaDelta: steps carry the unit of θ, and
    no rate needs to be chosen. It begins at 0, so the first steps are about √ε, whatever the gradient is.
    """
    g = gradient + weight_decay * parameters
    square = decay * state.get("square", 0.0) + (1 - decay) * g**2
    moved = state.get("moved", 0 * g)
    delta = g * np.sqrt(moved + epsilon) / np.sqrt(square + epsilon)
    moved = decay * moved + (1 - decay) * delta**2
    return parameters - learning_rate * delta, {"square": square, "moved": moved}


def so_called_adadelta(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, decay: float = 0.9,
    epsilon: float = 1e-6, weight_decay: float = 0.0,
) -> Step:
    """E[g²] ← ρE[g²] + (1−ρ)g²;  θ ← θ − ηg / √(E[g²] + ε): often printed as AdaDelta, and really RMSProp.

    Without the average of the past steps a learning rate is needed again; compare `adadelta` and `rmsprop`.
    """
    g = gradient + weight_decay * parameters
    square = decay * state.get("square", 0.0) + (1 - decay) * g**2
    return parameters - learning_rate * g / np.sqrt(square + epsilon), {"square": square}


def rmsprop(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, decay: float = 0.9,
    epsilon: float = 1e-8, momentum: float = 0.0, weight_decay: float = 0.0,
) -> Step:
    """E[g²] ← αE[g²] + (1−α)g²;  v ← βv + g / (√E[g²] + ε);  θ ← θ − ηv (Tieleman & Hinton 2012, β = 0)."""
    g = gradient + weight_decay * parameters
    square = decay * state.get("square", 0.0) + (1 - decay) * g**2
    velocity = momentum * state.get("velocity", 0.0) + g / (np.sqrt(square) + epsilon)
    return parameters - learning_rate * velocity, {"square": square, "velocity": velocity}


def rmsprop_centred(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, decay: float = 0.9,
    epsilon: float = 1e-8, momentum: float = 0.0, weight_decay: float = 0.0,
) -> Step:
    """RMSProp by the spread of the gradient, E[g²] − E[g]², rather than by its size (Graves 2013, eq. 38–41)."""
    g = gradient + weight_decay * parameters
    square = decay * state.get("square", 0.0) + (1 - decay) * g**2
    mean = decay * state.get("mean", 0.0) + (1 - decay) * g
    velocity = momentum * state.get("velocity", 0.0) + g / (np.sqrt(np.maximum(square - mean**2, 0)) + epsilon)
    return parameters - learning_rate * velocity, {"square": square, "mean": mean, "velocity": velocity}


def adam(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999,
    epsilon: float = 1e-8, weight_decay: float = 0.0,
) -> Step:
    """m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − η m̂ / (√v̂ + ε), m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ).

    Kingma & Ba 2015, algorithm 1. The averages begin at 0 and so are too small at first; the hats undo it.

    >>> step, _ = adam(np.array([1.0, 1.0]), np.array([1e-3, 50.0]), {}, learning_rate=0.1)
    >>> step.round(4)  # the first step is η whatever the size of the gradient
    array([0.9, 0.9])
    """
    g = gradient + weight_decay * parameters
    t = state.get("t", 0) + 1
    mean = beta1 * state.get("mean", 0.0) + (1 - beta1) * g
    square = beta2 * state.get("square", 0.0) + (1 - beta2) * g**2
    corrected_mean, corrected_square = mean / (1 - beta1**t), square / (1 - beta2**t)
    moved = parameters - learning_rate * corrected_mean / (np.sqrt(corrected_square) + epsilon)
    return moved, {"t": t, "mean": mean, "square": square}


def amsgrad(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999,
    epsilon: float = 1e-8, weight_decay: float = 0.0,
) -> Step:
    """Adam over the largest v so far, so that a step never grows again (Reddi, Kale & Kumar 2018, algorithm 2).

    With the bias corrections of Adam, which the paper leaves out and torch keeps.
    """
    g = gradient + weight_decay * parameters
    t = state.get("t", 0) + 1
    mean = beta1 * state.get("mean", 0.0) + (1 - beta1) * g
    square = beta2 * state.get("square", 0.0) + (1 - beta2) * g**2
    largest = np.maximum(state.get("largest", 0.0), square)
    corrected_mean, corrected_square = mean / (1 - beta1**t), largest / (1 - beta2**t)
    moved = parameters - learning_rate * corrected_mean / (np.sqrt(corrected_square) + epsilon)
    return moved, {"t": t, "mean": mean, "square": square, "largest": largest}


def adamw(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999,
    epsilon: float = 1e-8, weight_decay: float = 0.01,
) -> Step:
    """θ ← (1 − ηλ)θ, then Adam on the bare gradient (Loshchilov & Hutter 2019, algorithm 2)."""
    shrunk = (1 - learning_rate * weight_decay) * parameters
    return adam(shrunk, gradient, state, learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon)


def adamax(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999,
    epsilon: float = 1e-8, weight_decay: float = 0.0,
) -> Step:
    """m ← β₁m + (1−β₁)g;  u ← max(β₂u, |g| + ε);  θ ← θ − ηm / ((1−β₁ᵗ)u) (Kingma & Ba 2015, algorithm 2)."""
    g = gradient + weight_decay * parameters
    t = state.get("t", 0) + 1
    mean = beta1 * state.get("mean", 0.0) + (1 - beta1) * g
    largest = np.maximum(beta2 * state.get("largest", 0.0), np.abs(g) + epsilon)
    return parameters - learning_rate / (1 - beta1**t) * mean / largest, {"t": t, "mean": mean, "largest": largest}


def nadam(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999,
    epsilon: float = 1e-8, momentum_decay: float = 4e-3, weight_decay: float = 0.0,
) -> Step:
    """Adam with Nesterov's look-ahead: θ ← θ − η [(1−μₜ)g/(1−Πμ) + μₜ₊₁m/(1−μₜ₊₁Πμ)] / (√v̂ + ε).

    Dozat 2016, algorithm 2, with μₜ = β₁(1 − ½·0.96^(tψ)) and Πμ = μ₁μ₂…μₜ.
    """
    g = gradient + weight_decay * parameters
    t = state.get("t", 0) + 1
    now, following = (beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay)) for step in (t, t + 1))
    product = state.get("product", 1.0) * now
    mean = beta1 * state.get("mean", 0.0) + (1 - beta1) * g
    square = beta2 * state.get("square", 0.0) + (1 - beta2) * g**2
    ahead = (1 - now) * g / (1 - product) + following * mean / (1 - product * following)
    moved = parameters - learning_rate * ahead / (np.sqrt(square / (1 - beta2**t)) + epsilon)
    return moved, {"t": t, "product": product, "mean": mean, "square": square}


def muon(
    parameters: Array, gradient: Array, state: State, *, learning_rate: float, momentum: float = 0.95,
    weight_decay: float = 0.0,
) -> Step:
    """b ← βb + (1−β)g;  O = orthogonal part of (1−β)g + βb;  θ ← (1 − ηλ)θ − 0.2η√max(rows, columns) O.

    Jordan et al. 2024; the factor 0.2√max gives it the size of Adam's steps (Liu et al. 2025, eq. 4). For weight
    matrices: of a kernel (out, …) all but the first axis are flattened. Raises GradatimError for a vector, which has no
    orthogonal part: give biases to `adamw`.
    """
    if parameters.ndim < 2:
        raise GradatimError(f"muon: expected a weight matrix, received shape {parameters.shape}; use adamw for vectors")
    average = momentum * state.get("average", 0.0) + (1 - momentum) * gradient
    ahead = (1 - momentum) * gradient + momentum * average
    matrix = ahead.reshape(len(ahead), -1)
    scale = 0.2 * np.sqrt(max(matrix.shape))
    shrunk = (1 - learning_rate * weight_decay) * parameters
    return shrunk - learning_rate * scale * orthogonalise(matrix).reshape(parameters.shape), {"average": average}


def orthogonalise(matrix: Array, steps: int = 5, epsilon: float = 1e-7) -> Array:
    """Push all singular values towards 1 (about 0.7–1.2) by Newton–Schulz: X ← aX + (bXXᵀ + c(XXᵀ)²)X."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / max(np.linalg.norm(x), epsilon)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


@dataclass(frozen=True, slots=True)
class Rule:
    """A first-order rule: its function, its equation in one line, where it was published, a rate to start from."""

    update: Callable[..., Step]
    equation: str
    source: str
    learning_rate: float


RULES: dict[str, Rule] = {
    "gradient-descent": Rule(descent, "θ ← θ − ηg, g over all samples", "Cauchy 1847", 0.1),
    "mini-batch": Rule(descent, "θ ← θ − ηg, g over a few samples", "Bottou 1998", 0.1),
    "sgd": Rule(descent, "θ ← θ − ηg, g of one sample", "Robbins & Monro 1951", 0.1),
    "momentum": Rule(momentum_of_gradients, "v ← βv + g; θ ← θ − ηv", "Polyak 1964, as in torch", 0.05),
    "momentum-of-steps": Rule(momentum_of_steps, "v ← μv − ηg; θ ← θ + v", "Sutskever et al. 2013, eq. 1", 0.05),
    "nesterov": Rule(nesterov_rearranged, "v ← βv + g; θ ← θ − η(g + βv)", "Bengio et al. 2013, as in torch", 0.05),
    "nesterov-look-ahead": Rule(
        nesterov_look_ahead, "v ← μv − ηg(θ + μv); θ ← θ + v", "Sutskever et al. 2013, eq. 3", 0.05
    ),
    "adagrad": Rule(adagrad, "G ← G + g²; θ ← θ − ηg/(√G + ε)", "Duchi et al. 2011", 0.01),
    "adadelta": Rule(adadelta, "Δ = g√(E[Δ²] + ε)/√(E[g²] + ε); θ ← θ − ηΔ", "Zeiler 2012", 1.0),
    "so-called-adadelta": Rule(so_called_adadelta, "θ ← θ − ηg/√(E[g²] + ε)", "really RMSProp", 1e-3),
    "rmsprop": Rule(rmsprop, "θ ← θ − ηg/(√E[g²] + ε)", "Tieleman & Hinton 2012", 1e-3),
    "rmsprop-centred": Rule(rmsprop_centred, "θ ← θ − ηg/(√(E[g²] − E[g]²) + ε)", "Graves 2013", 1e-3),
    "adam": Rule(adam, "θ ← θ − ηm̂/(√v̂ + ε)", "Kingma & Ba 2015", 2e-3),
    "amsgrad": Rule(amsgrad, "θ ← θ − ηm̂/(√max v̂ + ε)", "Reddi et al. 2018", 2e-3),
    "adamw": Rule(adamw, "θ ← (1 − ηλ)θ − ηm̂/(√v̂ + ε)", "Loshchilov & Hutter 2019", 2e-3),
    "adamax": Rule(adamax, "u ← max(β₂u, |g|); θ ← θ − ηm̂/u", "Kingma & Ba 2015", 2e-3),
    "nadam": Rule(nadam, "Adam with the next step's momentum", "Dozat 2016", 2e-3),
    "muon": Rule(muon, "θ ← θ − η·orthogonal part of the momentum", "Jordan et al. 2024", 8e-3),
}


def find_rule(name: str) -> Rule:
    """The rule of a name; raises GradatimError with the list where there is none.

    >>> find_rule("adam").source
    'Kingma & Ba 2015'
    """
    if name not in RULES:
        raise GradatimError(f"expected an optimiser among {', '.join(RULES)}; received '{name}'")
    return RULES[name]


class Optimiser:
    """A rule over the parameters of a network: `step` reads their gradients, sets their values, forgets the gradients.

    rule: a name of RULES; parameters: tensors that require a gradient; learning_rate: may be set anew between steps,
    by default the rule's; settings: of the rule's function. "muon" gives vectors to AdamW. "nesterov-look-ahead" leaves
    the parameters where the next gradient is wanted; `rest` brings them back at the end.

    >>> from gradatim.autodiff.engine.tensor import Tensor
    >>> weight = Tensor(4.0, requires_gradient=True)
    >>> optimiser = Optimiser("momentum", [weight], learning_rate=0.1)
    >>> for _ in range(2):
    ...     (weight**2).backward()
    ...     optimiser.step()
    >>> round(weight.item(), 3)  # 4 − 0.1·8 = 3.2, then v = 0.9·8 + 6.4 = 13.6
    1.84
    """

    def __init__(
        self, rule: str, parameters: Iterable[Tensor], learning_rate: float | None = None, **settings: float
    ) -> None:
        found = find_rule(rule)
        self.rule, self.settings, self._update = rule, settings, found.update
        self.parameters = list(parameters)
        self.learning_rate = found.learning_rate if learning_rate is None else learning_rate
        known = signature(found.update).parameters
        wrong = [name for name in settings if name not in known or known[name].kind is not Parameter.KEYWORD_ONLY]
        if wrong:
            allowed = ", ".join(name for name, each in known.items() if each.kind is Parameter.KEYWORD_ONLY)
            raise GradatimError(f"{rule}: expected settings among {allowed}; received {', '.join(wrong)}")
        self._states: list[dict[str, Any]] = [{} for _ in self.parameters]
        self._resting: list[Array | None] = [None for _ in self.parameters]

    def step(self) -> None:
        """One update of every parameter that has a gradient; the gradients are then None."""
        for place, parameter in enumerate(self.parameters):
            if parameter.gradient is None:
                continue
            update, settings = self._update, self.settings
            if update is muon and parameter.ndim < 2:
                update, settings = adamw, {key: value for key, value in settings.items() if key == "weight_decay"}
            at = self._resting[place]
            moved, state = update(
                parameter.value if at is None else at, parameter.gradient, self._states[place],
                learning_rate=self.learning_rate, **settings,
            )  # fmt: skip
            self._states[place] = state
            if update is nesterov_look_ahead:
                self._resting[place] = moved
                moved = look_ahead(moved, state, **{k: v for k, v in settings.items() if k == "momentum"})
            moved.setflags(write=False)  # ours alone: the tensor may keep it without a copy
            parameter.value, parameter.gradient = moved, None

    def rest(self) -> None:
        """Put the parameters at θ, where the look-ahead form has them at θ + μv; other rules change nothing."""
        for place, (parameter, at) in enumerate(zip(self.parameters, self._resting)):
            if at is not None:
                parameter.value, self._resting[place] = at, None
