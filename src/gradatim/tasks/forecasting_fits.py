"""The candidates of a forecasting run: how each is fitted for a cut, what it costs, and how it is fitted again."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gradatim.data.forecast_series import Panel
from gradatim.data.forecast_windows import Rolling, Windows, naive_scales, training_windows
from gradatim.errors import GradatimError
from gradatim.randomness import generator
from gradatim.tasks.budget import REFIT_SHARE
from gradatim.tasks.choose import Candidate
from gradatim.tasks.forecasting import Forecasting
from gradatim.tasks.forecasting_members import (
    LOCAL,
    MOST_TREES,
    TITLES,
    Forecaster,
    LinearMember,
    LocalMember,
    TreesMember,
)
from gradatim.tasks.forecasting_network import FEWEST_WINDOWS, MOST_WINDOWS, NETWORKS, SHARE_KEPT, NetworkTrainer
from gradatim.tasks.line import Job

MODELS = (*LOCAL, "ridge", "trees", *NETWORKS)
LOCAL_SHARE, NETWORK_SHARE = 0.12, 0.5  # of the time; the last of what is left then
TREES_SHARE = 0.12  # of the time that is left; trees that are chosen are grown twice more
PROBED_TREES, PROBED_EACH, FEWEST_TREES = 9, 8, 20  # trees of a probe, every how many windows it has, trees at least
FEWEST_STEPS = 20  # of a network's plan


class Line:
    """The state of a fit: windows, candidates, and how each is fitted for a cut."""

    def __init__(self, job: Job, task: Forecasting, panel: Panel, rolling: Rolling) -> None:
        self.job, self.task, self.panel, self.rolling = job, task, panel, rolling
        self.gatherer = task.gatherer(panel)
        self.scales = naive_scales(panel, rolling.cuts, task.season)
        self.test = rolling.test
        # A window in a gap has nothing to compare with: its loss would be no number, and neither would the mean.
        known = np.isfinite(self.gatherer.targets(rolling.development)).any(axis=1)
        self.development = rolling.development.take(np.flatnonzero(known))
        if not len(self.development):
            raise GradatimError(f"{job.source.table.source}: expected values in the {len(known)} windows before the "
                                "newest ones, to choose by; all are missing")
        self.labels = self.gatherer.targets(self.development) / self.scales[self.development.series][:, None]
        self.trainer = NetworkTrainer(job, task, self.gatherer, self.scales)
        self.members: dict[str, Forecaster] = {}
        self.costs: dict[str, float] = {}  # seconds to answer a window
        self.seconds: dict[str, float] = {}  # to fit
        self.trees = MOST_TREES
        self.fitted: dict[str, Forecaster] = {}  # again, on more steps than those of the choice
        self.plans: dict[str, Any] = {}
        self.notes: list[str] = []

    def windows_before(self, ends: np.ndarray, most: int = MOST_WINDOWS) -> Windows:
        """Training windows whose horizons lie before `ends` (S,)."""
        middle = int(np.median(ends))
        least = max(2, min(self.task.context, middle // 3))
        return training_windows(self.panel, ends, self.task.horizon, least=least, most=most,
                                seed_order=generator(self.task.seed, "windows", int(ends.sum())))

    def candidates(self) -> list[Candidate]:
        """Every model that was asked for and can be fitted, with its answers to the development windows."""
        asked = self.job.options.get("models", MODELS)
        found = [self._local(name) for name in LOCAL if name in asked or name == "seasonal_naive"]
        windows = self.windows_before(self.rolling.cuts)
        if "ridge" in asked and len(windows) >= 20:
            found.append(self._fitted("ridge", lambda: self._learned("ridge", windows, self.rolling.cuts)))
        if "trees" in asked and len(windows) >= 60:
            self.trees = self._trees(windows)
            found.append(self._fitted("trees", lambda: self._learned("trees", windows, self.rolling.cuts)))
        kinds = [name for name in NETWORKS if name in asked]
        if kinds and len(windows) < FEWEST_WINDOWS:
            self.notes.append(f"no network: {len(windows)} training windows, {FEWEST_WINDOWS} are needed at least")
        elif kinds:
            found += self._networks(kinds, windows)
        return found

    def _trees(self, windows: Windows) -> int:
        """How many trees may be grown, by the seconds of a few: growing them twice gets its share of the time."""

        def affordable() -> int:
            if self.job.epochs is not None:
                return MOST_TREES
            seconds = []
            some = windows.take(np.arange(0, len(windows), max(1, min(PROBED_EACH, len(windows) // FEWEST_WINDOWS))))
            for trees in (1, 1, PROBED_TREES):  # what is compiled, what does not depend on the number, and the rest
                began = time.perf_counter()
                TreesMember.fit(self.gatherer, some, self.rolling.cuts, self.task, most_trees=trees)
                seconds.append((time.perf_counter() - began) * len(windows) / len(some))
            each = max(seconds[2] - seconds[1], 1e-7) / (PROBED_TREES - 1)
            left = max(TREES_SHARE * self.job.clock.left() - seconds[1], 0.0)
            return int(np.clip(left / each, FEWEST_TREES, MOST_TREES))

        many = int(self.job.memo.decide("trees", affordable))
        if many < MOST_TREES:
            self.notes.append(f"trees: at most {many}, more would take too long; give more --minutes")
        return many

    def _learned(self, key: str, windows: Windows, ends: np.ndarray) -> Forecaster:
        """Ridge or trees, fitted to windows before `ends`."""
        if key == "ridge":
            return LinearMember.fit(self.gatherer, windows, ends, self.task)
        return TreesMember.fit(self.gatherer, windows, ends, self.task, most_trees=self.trees)

    def _scaled(self, answer: np.ndarray, windows: Windows) -> np.ndarray:
        return answer / self.scales[windows.series][:, None, None]

    def _local(self, method: str) -> Candidate:
        """A local method; where all windows would take too long, it answers a random part of them."""
        member = LocalMember(method, self.task)
        self.members[method] = member
        count = len(self.development)

        def affordable() -> int:
            if self.job.epochs is not None:  # then the clock decides nothing
                return count
            probe = self.development.take(self.task.draw("probe", count, 6))
            member.forecast(self.gatherer, probe.take(np.arange(min(len(probe), 1))))  # compiled now, if ever
            began = time.perf_counter()
            member.forecast(self.gatherer, probe)
            each = (time.perf_counter() - began) / len(probe)
            return int(np.clip(LOCAL_SHARE * self.job.clock.seconds / max(each, 1e-7), 12, count))

        many = self.job.memo.decide(f"windows {method}", affordable)
        places = np.sort(self.task.draw(method, count, many))
        began = time.perf_counter()
        answers = np.full((count, self.task.horizon, len(self.task.levels)), np.nan)
        part = self.development.take(places)
        answers[places] = self._scaled(member.forecast(self.gatherer, part), part)
        seconds = time.perf_counter() - began
        self.costs[method] = seconds / max(len(places), 1)
        note = "" if many >= count else f"{len(places)} of {count} windows: more would take too long"
        return self._candidate(method, TITLES[method], "local", answers, seconds, note)

    def _candidate(
        self, key: str, title: str, kind: str, answers: np.ndarray, seconds: float, note: str = ""
    ) -> Candidate:
        self.job.say(f"  {title}: {seconds:.1f} s")
        self.job.clock.note(title, seconds)
        return Candidate(title, kind, (), answers, seconds, note=note, extra={"key": key})

    def _fitted(self, key: str, make: Callable[[], Forecaster], title: str = "", kind: str = "global") -> Candidate:
        began = time.perf_counter()
        member = make()
        self.members[key], self.seconds[key] = member, time.perf_counter() - began
        mark = time.perf_counter()
        answers = self._scaled(member.forecast(self.gatherer, self.development), self.development)
        self.costs[key] = (time.perf_counter() - mark) / max(len(self.development), 1)
        return self._candidate(key, title or key, kind, answers, time.perf_counter() - began)

    def _networks(self, kinds: list[str], windows: Windows) -> list[Candidate]:
        """Each kind trained on its share of the time; the rest is kept to train the chosen ones again."""
        left = self.job.clock.left(share_kept=0.1)
        seconds = self.job.memo.decide("network seconds", lambda: NETWORK_SHARE * left / len(kinds))
        found = []
        for number, kind in enumerate(kinds):
            plan = self.trainer.plan(kind, windows, self.development, seconds)
            self.plans[kind] = plan
            if self.job.epochs is None and plan.total_steps < FEWEST_STEPS:
                self.notes.append(f"no {', '.join(kinds[number:])} network: the time holds {plan.total_steps} steps, "
                                  f"{FEWEST_STEPS} are needed at least; give more --minutes")
                break
            self.job.say(f"  {kind}: {plan.epochs} epochs of {plan.steps_per_epoch} steps, forecast "
                         f"{plan.forecast['total_seconds']:.0f} s")

            after = len(kinds) - number - 1 + len(kinds)  # the other networks, and all of them again
            reserved = after * plan.forecast["total_seconds"]

            def make(kind: str = kind, plan: Any = plan, reserved: float = reserved) -> Forecaster:
                return self.trainer.train(kind, f"network-{kind}", windows, self.development, plan, reserved=reserved)

            found.append(self._fitted(kind, make, f"{kind} network", "network"))
            self.notes += self.trainer.results[f"network-{kind}"].notes
        return found

    def refitted(self, key: str, ends: np.ndarray, stage: str) -> Forecaster:
        """A member fitted on the steps before `ends`; a network only for the run that is kept, when time allows."""
        if key in LOCAL:
            return self.members[key]
        if key in NETWORKS:
            return self._network_again(key, ends) if stage == "final" else self.members[key]
        if not self.job.memo.decide(f"{stage} {key}", lambda: self.job.epochs is not None or bool(
                self.seconds[key] <= self.job.clock.left(share_kept=SHARE_KEPT))):
            steps = "the steps before the test windows" if stage == "scored" else "all steps"
            self.notes.append(f"{key}: not fitted again on {steps}, no time was left for it")
            return self.fitted.get(key, self.members[key])
        self.fitted[key] = self._learned(key, self.windows_before(ends), ends)
        return self.fitted[key]

    def _network_again(self, key: str, ends: np.ndarray) -> Forecaster:
        """The network trained again on all steps; as it was scored where there is no time, or it did not end."""
        windows = self.windows_before(ends)
        plan = self.trainer.plan_again(key, windows, self.plans[key])
        left = self.job.clock.left(share_kept=SHARE_KEPT)
        if not self.job.memo.decide(f"refit {key}", lambda: self.job.epochs is not None or bool(
                REFIT_SHARE * plan.forecast["total_seconds"] <= left)):
            self.notes.append(f"the {key} network is kept as it was scored: no time was left to train it again on all "
                              "steps")
            return self.members[key]
        name = f"refit-{key}"
        again = self.trainer.train(key, name, windows, None, plan)
        self.notes += self.trainer.results[name].notes
        if not self.trainer.results[name].finished:
            self.notes.append(f"the {key} network is kept as it was scored: its training on all steps did not come to "
                              "its end")
            return self.members[key]
        self.notes.append(f"the {key} network was trained again on all steps, as long as was best in the choice")
        return again
