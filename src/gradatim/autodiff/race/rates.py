"""The best learning rate of each optimiser on each surface, of 1, 2, 5 × 10ᵏ, as `race.best_rate` finds it from the
surface's own start in 500 steps without added noise. AdamW has Adam's; AdaDelta keeps its 1, whose point is that none
is chosen; methods of second order take whole steps. Ties go to the smaller rate.
"""

RATES: dict[str, dict[str, float]] = {
    "parabola": {
        "random": 0.2, "gradient-descent": 0.5, "mini-batch": 0.5, "sgd": 0.5, "momentum": 0.01,
        "momentum-of-steps": 0.01, "nesterov": 0.5, "nesterov-look-ahead": 0.5, "adagrad": 5.0,
        "so-called-adadelta": 0.01, "rmsprop": 0.01, "rmsprop-centred": 0.005, "adam": 0.2, "amsgrad": 0.2,
        "adamax": 0.2, "nadam": 1.0, "adamw": 0.2,
    },
    "gaussians": {
        "random": 0.5, "gradient-descent": 0.5, "mini-batch": 0.5, "sgd": 0.5, "momentum": 0.02,
        "momentum-of-steps": 0.02, "nesterov": 0.2, "nesterov-look-ahead": 0.2, "adagrad": 0.5,
        "so-called-adadelta": 0.01, "rmsprop": 0.01, "rmsprop-centred": 0.01, "adam": 0.5, "amsgrad": 0.5,
        "adamax": 1.0, "nadam": 0.2, "adamw": 0.5,
    },
    "beale": {
        "random": 0.05, "gradient-descent": 0.02, "mini-batch": 0.02, "sgd": 0.02, "momentum": 0.02,
        "momentum-of-steps": 0.02, "nesterov": 0.005, "nesterov-look-ahead": 0.005, "adagrad": 2.0,
        "so-called-adadelta": 0.01, "rmsprop": 0.01, "rmsprop-centred": 0.01, "adam": 0.5, "amsgrad": 0.5,
        "adamax": 1.0, "nadam": 0.2, "adamw": 0.5,
    },
    "rosenbrock": {
        "random": 1.0, "gradient-descent": 0.002, "mini-batch": 0.002, "sgd": 0.002, "momentum": 0.002,
        "momentum-of-steps": 0.002, "nesterov": 0.001, "nesterov-look-ahead": 0.001, "adagrad": 2.0,
        "so-called-adadelta": 0.01, "rmsprop": 0.01, "rmsprop-centred": 0.005, "adam": 1.0, "amsgrad": 1.0,
        "adamax": 1.0, "nadam": 0.05, "adamw": 1.0,
    },
    "himmelblau": {
        "random": 0.1, "gradient-descent": 0.01, "mini-batch": 0.01, "sgd": 0.01, "momentum": 0.01,
        "momentum-of-steps": 0.01, "nesterov": 0.01, "nesterov-look-ahead": 0.01, "adagrad": 1.0,
        "so-called-adadelta": 0.01, "rmsprop": 0.01, "rmsprop-centred": 0.02, "adam": 1.0, "amsgrad": 0.2,
        "adamax": 1.0, "nadam": 0.2, "adamw": 1.0,
    },
    "saddle": {
        "random": 0.2, "gradient-descent": 0.5, "mini-batch": 0.5, "sgd": 0.5, "momentum": 0.2,
        "momentum-of-steps": 0.2, "nesterov": 0.5, "nesterov-look-ahead": 0.5, "adagrad": 1.0,
        "so-called-adadelta": 0.01, "rmsprop": 0.01, "rmsprop-centred": 0.005, "adam": 0.05, "amsgrad": 0.2,
        "adamax": 0.1, "nadam": 0.1, "adamw": 0.05,
    },
    "plateau": {
        "random": 0.1, "gradient-descent": 0.5, "mini-batch": 0.5, "sgd": 0.5, "momentum": 0.5,
        "momentum-of-steps": 0.5, "nesterov": 0.5, "nesterov-look-ahead": 0.5, "adagrad": 0.5,
        "so-called-adadelta": 0.01, "rmsprop": 0.01, "rmsprop-centred": 0.01, "adam": 1.0, "amsgrad": 1.0,
        "adamax": 1.0, "nadam": 0.02, "adamw": 1.0,
    },
    "ravine": {
        "random": 0.2, "gradient-descent": 0.01, "mini-batch": 0.01, "sgd": 0.01, "momentum": 0.01,
        "momentum-of-steps": 0.01, "nesterov": 0.005, "nesterov-look-ahead": 0.005, "adagrad": 10.0,
        "so-called-adadelta": 0.02, "rmsprop": 0.02, "rmsprop-centred": 0.01, "adam": 0.2, "amsgrad": 0.5,
        "adamax": 1.0, "nadam": 0.2, "adamw": 0.2,
    },
    "tilted-ravine": {
        "random": 0.1, "gradient-descent": 0.01, "mini-batch": 0.01, "sgd": 0.01, "momentum": 0.01,
        "momentum-of-steps": 0.01, "nesterov": 0.005, "nesterov-look-ahead": 0.005, "adagrad": 2.0,
        "so-called-adadelta": 0.02, "rmsprop": 0.02, "rmsprop-centred": 0.01, "adam": 1.0, "amsgrad": 1.0,
        "adamax": 1.0, "nadam": 0.2, "adamw": 1.0,
    },
    "regression": {
        "random": 0.2, "gradient-descent": 0.5, "mini-batch": 0.02, "sgd": 0.02, "momentum": 0.002,
        "momentum-of-steps": 0.002, "nesterov": 0.002, "nesterov-look-ahead": 0.002, "adagrad": 0.5,
        "so-called-adadelta": 0.02, "rmsprop": 0.02, "rmsprop-centred": 0.02, "adam": 0.05, "amsgrad": 0.05,
        "adamax": 0.1, "nadam": 0.05, "adamw": 0.05,
    },
}
