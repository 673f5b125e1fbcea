"""The peers of the series benchmark, in a process of their own: `python series_worker.py` in a place that has aeon.

Reads a JSON object a line and answers with one. {"classify": METHOD, "data": FILE.npz} fits on x_train, y_train and
answers x_test: accuracy, predictions and seconds of the processor. {"transform": NAME, "rows", "channels", "steps"}
fits and transforms a random walk: seconds of each part. One thread throughout.
"""

import json
import sys
import time
from typing import Any

import numpy as np


def walk(rows: int, channels: int, steps: int) -> np.ndarray:
    """Random walks, always the same ones, float32 (rows, channels, steps)."""
    noise = np.random.default_rng(rows + steps).normal(size=(rows, channels, steps))
    return (np.cumsum(noise, axis=2) / np.sqrt(steps)).astype(np.float32)


def classifier(method: str) -> Any:
    """One of aeon's classifiers with its defaults."""
    from aeon.classification import convolution_based
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

    if method == "1-NN DTW":
        return KNeighborsTimeSeriesClassifier(distance="dtw", distance_params={"window": 0.1}, n_jobs=1)
    return getattr(convolution_based, f"{method}Classifier")(random_state=0, n_jobs=1)


def classify(request: dict[str, Any]) -> dict[str, Any]:
    """Accuracy and seconds of one classifier on one set; a first small fit compiles what is compiled."""
    held = np.load(request["data"], allow_pickle=False)
    x_train, y_train, x_test, y_test = (held[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    few = np.unique(y_train, return_index=True)[1]
    classifier(request["classify"]).fit(x_train[np.r_[few, few]], y_train[np.r_[few, few]]).predict(x_test[:1])
    began = time.process_time()
    model = classifier(request["classify"]).fit(x_train, y_train)
    fitted = time.process_time()
    found = np.asarray(model.predict(x_test))
    return {"accuracy": float((found == y_test).mean()), "fit": fitted - began, "predict": time.process_time() - fitted,
            "answers": found.astype(str).tolist()}


def transform(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of fitting and transforming."""
    from aeon.transformations.collection import convolution_based

    rows = walk(request["rows"], request["channels"], request["steps"])
    name = request["transform"]
    kind = getattr(convolution_based, "HydraTransformer" if name == "Hydra" else name)
    kind(random_state=0).fit_transform(rows[:4])
    began = time.process_time()
    model = kind(random_state=0).fit(rows)
    fitted = time.process_time()
    out = model.transform(rows)
    return {"fit": fitted - began, "transform": time.process_time() - fitted, "features": int(np.shape(out)[1])}


def main() -> None:
    """Answer requests until the input ends."""
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        answer = classify(request) if "classify" in request else transform(request)
        print("answer " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
