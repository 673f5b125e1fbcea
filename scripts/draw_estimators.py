"""Draw the pictures of docs/estimators from fits of the estimators: `python scripts/draw_estimators.py`."""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image
from sklearn.datasets import load_diabetes, make_blobs, make_moons

from gradatim.estimators.cluster import KMeans
from gradatim.estimators.displays.boundary import BoundaryDisplay
from gradatim.estimators.displays.clusters import ClusterStepsDisplay
from gradatim.estimators.displays.descent import DescentDisplay
from gradatim.estimators.displays.path import RegularisationPathDisplay
from gradatim.estimators.lasso import Lasso
from gradatim.estimators.linear import LinearRegression
from gradatim.estimators.mixture import GaussianMixture
from gradatim.estimators.recording import Recorder
from gradatim.estimators.svm import SVC

FOLDER = Path(__file__).parent.parent / "docs/estimators"


def save(figure: Any, name: str) -> None:
    """A PNG of 256 colours: a picture of flat colours needs no more."""
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png")
    Image.open(content).convert("RGB").quantize(256).save(FOLDER / f"{name}.png", optimize=True)
    print(FOLDER / f"{name}.png")


def main() -> None:
    """Draw all of them."""
    mpl.use("agg")
    rows, _ = make_blobs(400, centers=5, cluster_std=1.1, random_state=3)
    clusters = KMeans(5, init="random", n_init=3, random_state=1).set_callbacks(Recorder()).fit(rows)
    save(ClusterStepsDisplay.from_estimator(clusters, rows).figure_, "k-means")

    generator = np.random.default_rng(4)
    shapes = [
        ([0.0, 0.0], [[2.0, 1.6], [1.6, 2.0]]),
        ([4.0, 1.0], [[0.3, 0.0], [0.0, 2.0]]),
        ([1.0, 4.5], [[1.5, -1.0], [-1.0, 1.0]]),
    ]
    groups = np.vstack([generator.multivariate_normal(mean, spread, 130) for mean, spread in shapes])
    mixture = GaussianMixture(3, init_params="random", random_state=0, tol=1e-5, max_iter=300)
    mixture.set_callbacks(Recorder()).fit(groups)
    save(ClusterStepsDisplay.from_estimator(mixture, groups, steps=6).figure_, "mixture")

    size = np.random.default_rng(0).normal(size=(60, 1)) + 1
    price = 2 * size[:, 0] - 1 + 0.3 * np.random.default_rng(1).normal(size=60)
    line = LinearRegression(solver="gradient_descent", learning_rate=0.55, max_iter=200).set_callbacks(Recorder())
    save(DescentDisplay.from_estimator(line.fit(size, price), size, price).figure_, "descent")

    moons, halves = make_moons(150, noise=0.2, random_state=0)
    words = np.array(["lower", "upper"])[1 - halves]
    save(BoundaryDisplay.from_estimator(SVC(C=5.0).fit(moons, words), moons, words).figure_, "boundary")

    data = load_diabetes(as_frame=True)
    penalties = np.geomspace(1e-3, 3, 40)
    path = RegularisationPathDisplay.from_estimator(Lasso(alpha=0.3), data.data, data.target, penalties=penalties)
    save(path.figure_, "path")


if __name__ == "__main__":
    main()
