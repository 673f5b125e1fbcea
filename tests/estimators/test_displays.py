"""What the displays draw is what the estimators did; mistakes are said in one line."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes, make_blobs, make_moons
from sklearn.linear_model import LogisticRegression as TheirLogistic
from sklearn.svm import SVC as TheirSVC

from gradatim.estimators.cluster import KMeans
from gradatim.estimators.displays.boundary import BoundaryDisplay
from gradatim.estimators.displays.clusters import ClusterStepsDisplay, Picture, best_part, picture, spaced
from gradatim.estimators.displays.cost import CostDisplay
from gradatim.estimators.displays.descent import DescentDisplay, cost_of
from gradatim.estimators.displays.path import RegularisationPathDisplay
from gradatim.estimators.lasso import Lasso
from gradatim.estimators.linear import LinearRegression
from gradatim.estimators.recording import Recorder, Step

MOONS = make_moons(80, noise=0.15, random_state=0)
BLOBS = make_blobs(150, centers=3, random_state=2)[0]


@pytest.fixture(autouse=True)
def no_window():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def line():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(40, 1)) + 1
    targets = 2 * rows[:, 0] - 1 + 0.1 * generator.normal(size=40)
    model = LinearRegression(solver="gradient_descent").set_callbacks(Recorder()).fit(rows, targets)
    return model, rows, targets


def test_the_curve_holds_the_published_costs(line):
    model, rows, targets = line
    recorder = model._skl_callbacks[0]
    display = CostDisplay.from_estimator(model)
    numbers, costs = display.lines_[0].get_data()
    assert list(costs) == [cost for _, cost in recorder.values("objective_")][: len(costs)]
    assert list(numbers[:3]) == [1, 2, 3] and costs[-1] < costs[0]
    assert CostDisplay.from_estimator(model, log=True).ax_.get_yscale() == "log"
    again = CostDisplay.from_estimator(LinearRegression(solver="gradient_descent"), rows, targets)
    np.testing.assert_allclose(again.lines_[0].get_ydata(), costs)


def test_each_start_has_its_curve():
    recorder = Recorder()
    KMeans(3, init="random", n_init=3, random_state=0).set_callbacks(recorder).fit(BLOBS)
    display = CostDisplay.from_recorder(recorder)
    assert list(display.curves) == ["start 0", "start 1", "start 2"]
    figure, axes = plt.subplots()
    assert display.plot(axes).ax_ is axes and display.figure_ is figure and len(display.lines_) == 3


def test_the_descent_lies_on_the_cost(line):
    model, rows, targets = line
    display = DescentDisplay.from_estimator(model, rows, targets)
    assert display.labels[0] == "intercept" and display.points.shape[1] == 2
    np.testing.assert_allclose(display.points[-1], [model.intercept_, model.coef_[0]])
    predicted = rows @ model.coef_ + model.intercept_
    assert display.cost(display.points[-1:])[0] == pytest.approx(0.5 * ((predicted - targets) ** 2).mean())


def test_many_parameters_are_seen_on_the_plane_of_their_path():
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(50, 5)) * [1, 2, 3, 1, 1]
    targets = rows @ [1.0, 2.0, 3.0, 0.0, -1.0]
    display = DescentDisplay.from_estimator(LinearRegression(solver="gradient_descent"), rows, targets)
    np.testing.assert_allclose(display.directions @ display.directions.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(display.points[-1], 0)
    back = display.points @ display.directions + display.origin
    first, second = np.linalg.svd(display.path - display.origin)[1][:2]
    assert ((back - display.origin) ** 2).sum() == pytest.approx(first**2 + second**2)
    assert "% of the path" in display.labels[0]


def test_the_path_of_a_classifier_of_scikit_learn():
    model = TheirLogistic(C=10.0).set_callbacks(Recorder()).fit(*MOONS)
    display = DescentDisplay.from_estimator(model, *MOONS)
    assert display.cost(display.path[-1:])[0] < display.cost(display.path[:1])[0]


def test_costs_by_hand():
    rows, labels = np.array([[1.0], [-1.0]]), np.array(["yes", "no"])
    parameters = np.array([[0.0, 0.5], [0.0, 0.0]])
    np.testing.assert_allclose(cost_of(rows, labels, "hinge")(parameters), [0.5, 1.0])
    np.testing.assert_allclose(cost_of(rows, labels, "log")(parameters), [np.log1p(np.exp(-0.5)), np.log(2)])


@pytest.mark.parametrize("labels", [MOONS[1], np.array(["down", "up"])[MOONS[1]]])
def test_regions_are_the_predictions(labels):
    model = TheirSVC().fit(MOONS[0], labels)
    display = BoundaryDisplay.from_estimator(model, MOONS[0], labels, resolution=40)
    points = np.stack(np.meshgrid(display.xs, display.ys), axis=-1)
    assert (model.classes_[display.regions[7, 3]] == model.predict(points[7, 3:4])).all()
    assert display.scores is not None and display.scores[7, 3] == pytest.approx(
        model.decision_function(points[7, 3:4])[0]
    )
    assert len(display.support) == len(model.support_) and display.margins
    assert "support vectors" in display.ax_.get_legend().get_texts()[-1].get_text()


def test_regions_of_many_classes_without_scores():
    labels = KMeans(3, random_state=0).fit(BLOBS).labels_
    display = BoundaryDisplay.from_estimator(TheirLogistic().fit(BLOBS, labels), BLOBS, labels, resolution=30)
    assert display.scores is None and set(np.unique(display.regions)) == {0, 1, 2}


def test_the_steps_of_k_means(tmp_path):
    model = KMeans(3, init="random", n_init=2, random_state=0).set_callbacks(Recorder()).fit(BLOBS)
    display = ClusterStepsDisplay.from_estimator(model, BLOBS, steps=4)
    last = display.pictures[-1]
    np.testing.assert_allclose(np.sort(last.centres, axis=0), np.sort(model.cluster_centers_, axis=0), rtol=1e-6)
    assert last.cost == pytest.approx(model.inertia_, rel=1e-6)
    assert len(display.axes_.ravel()) >= min(4, len(display.pictures))
    path = display.animate(tmp_path / "steps.gif", dots_per_inch=40)
    with Image.open(path) as image:
        assert image.n_frames == len(display.pictures) and image.info["loop"] == 0


@pytest.mark.parametrize(
    ("kind", "covariances"),
    [
        ("full", np.stack([np.diag([4.0, 1.0])] * 2)),
        ("tied", np.diag([4.0, 1.0])),
        ("diag", np.array([[4.0, 1.0]] * 2)),
        ("spherical", np.array([4.0, 4.0])),
    ],
)
def test_the_ellipses_of_a_mixture(kind, covariances):
    means = np.array([[-3.0, 0.0], [3.0, 0.0]])
    step = Step(0, (("fit", 0), ("iteration", 4)), {
        "means_": means, "covariances_": covariances, "weights_": np.array([0.5, 0.5]), "lower_bound_": -7.0,
    })  # fmt: skip
    rows = np.array([[-2.0, 1.0], [2.0, 1.0], [0.1, 5.0]])
    shown = picture(step, rows, kind)
    assert list(shown.labels) == [0, 1, 1] and shown.number == 5 and shown.cost == 7.0
    display = ClusterStepsDisplay(rows, [shown]).plot()
    widths = sorted({round(float(patch.get_width()), 6) for patch in display.axes_[0, 0].patches})
    assert widths == [4.0, 8.0]


def test_the_best_start_is_shown():
    recorder = Recorder()
    KMeans(3, init="random", n_init=4, random_state=1).set_callbacks(recorder).fit(BLOBS)
    steps = best_part(recorder)
    finals = [step.attributes["inertia_"] for step in recorder.steps if step.path[-1][0] == "start"]
    assert steps[-1].attributes["inertia_"] == pytest.approx(min(finals), rel=1e-6)


@pytest.mark.parametrize(("count", "wanted"), [(1, 6), (6, 6), (7, 6), (8, 2), (100, 6), (5, 1)])
def test_steps_are_spread_over_all(count, wanted):
    places = spaced(count, wanted)
    assert len(places) == min(count, wanted) and places == sorted(set(places)) and places[-1] == count - 1


def test_the_path_of_the_lasso():
    data = load_diabetes(as_frame=True)
    penalties = np.geomspace(0.01, 3, 8)
    display = RegularisationPathDisplay.from_estimator(Lasso(alpha=0.3), data.data, data.target, penalties=penalties)
    np.testing.assert_allclose(
        display.coefficients[3], Lasso(alpha=float(penalties[3])).fit(data.data, data.target).coef_
    )
    assert display.chosen == 0.3 and display.names[2] == "bmi"
    texts = {text.get_text() for text in display.ax_.texts}
    assert {"alpha = 0.3", "bmi", "s5"} <= texts


def test_mistakes_are_said_in_one_line(line):
    model, rows, targets = line
    wrong = [
        lambda: CostDisplay.from_estimator(LinearRegression().fit(rows, targets)),
        lambda: CostDisplay.from_recorder(Recorder()),
        lambda: BoundaryDisplay.from_estimator(TheirSVC().fit(*MOONS), np.ones((3, 3))),
        lambda: BoundaryDisplay.from_estimator(TheirSVC(), MOONS[0]),
        lambda: ClusterStepsDisplay.from_estimator(model, BLOBS),
        lambda: ClusterStepsDisplay(BLOBS, []),
        lambda: DescentDisplay.from_estimator(model, np.ones((3, 4)), np.ones(3)),
        lambda: DescentDisplay(np.ones((1, 2)), lambda p: p[:, 0], names=["a", "b"]),
        lambda: RegularisationPathDisplay([1.0], [[1.0]]),
        lambda: RegularisationPathDisplay.from_estimator(LinearRegression(), rows, targets),
        lambda: cost_of(rows, targets, "cubed"),
        lambda: cost_of(rows, np.arange(40), "log"),
    ]
    for call in wrong:
        with pytest.raises(ValueError, match="expected") as error:
            call()
        assert "\n" not in str(error.value)


def test_a_picture_is_a_frozen_record():
    shown = Picture(1, np.zeros((1, 2)), np.zeros(3, int), None, None)
    with pytest.raises(AttributeError):
        shown.number = 2
