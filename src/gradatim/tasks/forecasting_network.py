"""Forecasting networks as members: windows to tensors, training from a measured plan, the file and back."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.forecast_windows import Gatherer, Windows
from gradatim.data.loader import batch_order
from gradatim.device import Placement, autocast, choose
from gradatim.errors import ArtifactError
from gradatim.evaluate.forecasts import pinball
from gradatim.models.address import build
from gradatim.randomness import generator, seed_of
from gradatim.tasks.budget import REFIT_SHARE, TrainingResult, Watch, train_within_budget
from gradatim.tasks.forecasting_members import answer_source, normalised
from gradatim.tasks.planning import Epochs
from gradatim.tasks.rebuilt import placed_here, rebuilt
from gradatim.tasks.source import Source
from gradatim.train.forecast import default_max_epochs, measure, plan_for_minutes
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

if TYPE_CHECKING:
    from gradatim.tasks.line import Job

NETWORKS = {
    "convolutional": "gradatim.models.sequence.convolutional_forecaster.convolutional_forecaster",
    "patches": "gradatim.models.sequence.patch_forecaster.patch_forecaster",
    "recurrent": "gradatim.models.sequence.recurrent_forecaster.recurrent_forecaster",
}
FEWEST_WINDOWS = 200  # to train a network on
WINDOWS_PER_EPOCH = 12_800
MOST_WINDOWS = 400_000
MOST_WATCHED = 1_500  # development windows that are answered after each epoch
ANSWER_BATCH = 512
LARGEST_WEIGHT = 4.0
MONITOR = "development_loss"
RATE = 2e-3
SHARE_KEPT = 0.1  # of the time is kept back for the scores


@dataclass(frozen=True, slots=True)
class ForecastNetwork:
    """A network of NETWORKS; `blueprint` is its address and JSON arguments."""

    blueprint: dict[str, Any]
    network: nn.Module
    placement: Placement
    task: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of known future."""
        return self.task.known_names

    def forecast(self, gatherer: Gatherer, windows: Windows) -> np.ndarray:
        """Quantiles (W, H, Q), in batches, without gradients."""
        training = self.network.training
        self.network.eval()
        found = np.empty((len(windows), self.task.horizon, len(self.task.levels)))
        with torch.inference_mode(), autocast(self.placement):
            for start in range(0, len(windows), ANSWER_BATCH):
                part = windows.take(np.arange(start, min(start + ANSWER_BATCH, len(windows))))
                inputs, level, scale = inputs_of(gatherer, part, self.task.season)
                output = forward(self.network, Batch(part.series, inputs).to(self.placement.device))
                shaped = output.double().cpu().numpy().reshape(len(part), *found.shape[1:])
                found[start : start + len(part)] = np.sort(level[:, None, None] + scale[:, None, None] * shaped)
        self.network.train(training)
        return found

    def answer(self, source: Source) -> np.ndarray:
        """Quantiles (S, H, Q) after the end of each series."""
        return answer_source(self, self.task, source)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and tensors."""
        state = {"member": "forecast_network", "blueprint": self.blueprint, "placement": self.placement.to_json()}
        return state, dict(self.network.state_dict())

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "ForecastNetwork":
        """Build the network again, see `rebuilt`; it must be one for the task's horizon, quantiles and columns."""
        blueprint = dict(state["blueprint"])
        if blueprint.get("address") not in NETWORKS.values():
            raise ArtifactError(f"expected a forecasting network, found {blueprint.get('address')!r:.80}")
        wanted = arguments_of(task)
        given = {name: blueprint["arguments"].get(name) for name in wanted}
        if given != wanted:
            raise ArtifactError(f"expected a network for {wanted}, found one for {given!r:.200}")
        network = rebuilt(blueprint, shapes, read)
        placement = placed_here(Placement.from_json(state["placement"]))
        return cls(blueprint, network.to(placement.device).eval(), placement, task)


def arguments_of(task: Any) -> dict[str, int]:
    """What every network is built for."""
    return {"horizon": task.horizon, "outputs": len(task.levels), "context": task.context,
            "covariates": task.covariates, "season": min(task.season, task.context)}


def inputs_of(
    gatherer: Gatherer, windows: Windows, season: int
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The tensors that a network is given for some windows, and levels and scales (W,) that undo the normalisation."""
    history, seen = gatherer.history(windows)
    window, level, scale = normalised(history, seen, season)
    inputs = {
        "window": torch.from_numpy(np.clip(window, -30, 30).astype(np.float32)),
        "seen": torch.from_numpy(seen.astype(np.float32)),
        "behind": torch.from_numpy(gatherer.behind(windows)), "ahead": torch.from_numpy(gatherer.ahead(windows)),
    }
    return inputs, level, scale


def forward(network: nn.Module, batch: Batch) -> Any:
    """A network's output for a batch."""
    return network(batch.inputs["window"], batch.inputs["seen"], batch.inputs["behind"], batch.inputs["ahead"])


def objective_of(levels: Sequence[float]) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
    """Mean pinball loss over the known steps, in units of the series' own seasonal naive error."""
    steps = torch.tensor(levels, dtype=torch.float32)

    def objective(output: torch.Tensor, batch: Batch) -> torch.Tensor:
        truth, weight = batch.targets["truth"], batch.targets["weight"]
        assert isinstance(truth, torch.Tensor) and isinstance(weight, torch.Tensor)
        known = truth.isfinite()
        error = torch.where(known, truth, torch.zeros_like(truth))[..., None] - output.view(*truth.shape, -1)
        level = steps.to(output.device)
        loss = torch.maximum(level * error, (level - 1) * error).mean(-1) * known * weight[:, None]
        return loss.sum() / known.sum().clamp(min=1)

    return objective


class NetworkTrainer:
    """Trains the networks of a line: measured plans, checkpoints, the best epoch on the development windows."""

    def __init__(self, job: "Job", task: Any, gatherer: Gatherer, scales: np.ndarray) -> None:
        self.job, self.task, self.gatherer, self.scales = job, task, gatherer, scales
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.forecasts: dict[str, Any] = {}
        self.plan_json: dict[str, Any] = {}
        self.results: dict[str, TrainingResult] = {}

    def blueprint(self, kind: str) -> dict[str, Any]:
        """Address and JSON arguments of a network of NETWORKS."""
        return {"address": NETWORKS[kind], "arguments": dict(arguments_of(self.task))}

    def network(self, kind: str, name: str) -> nn.Module:
        """A new network whose first weights follow from the seed and the name of the stage."""
        torch.manual_seed(seed_of(self.job.seed, "forecast weights", name))
        return build(self.blueprint(kind))

    def plan(self, kind: str, windows: Windows, held: Windows, seconds: float) -> Plan:
        """The plan that fits into the seconds, from a measured pace; decided once and stored."""

        def decide() -> dict[str, Any]:
            """Time some steps and an evaluation; the plan whose epochs fit into the seconds, as JSON."""
            base = choose()
            threads = 1 if base.device == "cpu" else base.threads  # the products are too small for two
            placement = replace(base, dtype="float32", channels_last=False, threads=threads)
            torch.set_num_threads(threads)
            rows = min(len(windows), WINDOWS_PER_EPOCH)
            size = 64 if rows < 4_000 else 128
            trial = Plan(1, max(rows // size, 1), size, learning_rate=RATE, placement=placement, seed=self.job.seed)
            network = self.network(kind, "measure")
            step = Supervised(network, objective_of(self.task.levels), trial, forward=forward)
            pace = measure(step, lambda epoch: self.batches(windows, trial, "measure", epoch),
                           seconds=min(2.0, 0.1 * seconds), steps=10).seconds_per_step
            began = time.perf_counter()
            probe = held.take(np.arange(min(len(held), 64)))
            ForecastNetwork(self.blueprint(kind), network, placement, self.task).forecast(self.gatherer, probe)
            evaluation = (time.perf_counter() - began) * min(len(held), MOST_WATCHED) / max(len(probe), 1)
            most = self.job.epochs or max(default_max_epochs(rows) // 2, 10)
            plan = plan_for_minutes(
                1e9 if self.job.epochs else seconds / 60, rows=rows, batch_size=size, seconds_per_step=pace,
                evaluation_seconds=evaluation, max_epochs=most, optimizer="adamw", learning_rate=RATE,
                placement=placement, seed=self.job.seed, weight_decay=0.02,
            )
            return plan.to_json()

        plan = Plan.from_json(self.job.memo.decide(f"forecast plan {kind}", decide))
        torch.set_num_threads(plan.placement.threads)
        return plan

    def batches(self, windows: Windows, plan: Plan, name: str, epoch: int) -> Any:
        """The batches of an epoch: a random choice of the windows, a function of seed, stage and epoch."""
        rows = np.arange(len(windows))
        if len(rows) > WINDOWS_PER_EPOCH:
            rows = generator(plan.seed, name, "epoch", epoch).choice(len(rows), WINDOWS_PER_EPOCH, replace=False)
        order = batch_order(rows, plan.batch_size, seed=seed_of(plan.seed, name, "order"), epoch=epoch)
        return Epochs(order[: plan.steps_per_epoch], lambda places: self.batch(windows.take(places)))

    def batch(self, windows: Windows) -> Batch:
        """Inputs and truth of some windows; the weight of each turns its normalised loss into the series' unit."""
        inputs, level, scale = inputs_of(self.gatherer, windows, self.task.season)
        truth = np.clip((self.gatherer.targets(windows) - level[:, None]) / scale[:, None], -30, 30)
        weight = np.minimum(scale / self.scales[windows.series], LARGEST_WEIGHT)
        targets: dict[str, Any] = {"truth": torch.from_numpy(truth.astype(np.float32)),
                                   "weight": torch.from_numpy(weight.astype(np.float32))}
        return Batch(windows.series, inputs, targets)

    def train(
        self, kind: str, name: str, windows: Windows, held: Windows | None, plan: Plan, *, reserved: float = 0.0
    ) -> ForecastNetwork:
        """Train on windows, watching `held`: a refit has none. reserved: seconds forecast for what comes after it."""
        job = self.job
        network = self.network(kind, name)
        member = ForecastNetwork(self.blueprint(kind), network, plan.placement, self.task)
        step = Supervised(network, objective_of(self.task.levels), plan, forward=forward)
        watch = None
        if held is not None:
            watched = held.take(np.sort(self.task.draw(name, len(held), MOST_WATCHED)))
            truth, scales = self.gatherer.targets(watched), self.scales[watched.series][:, None]

            def evaluate() -> dict[str, float]:
                losses = pinball(truth, member.forecast(self.gatherer, watched), self.task.levels).mean(axis=-1)
                return {MONITOR: float(np.nanmean(losses / scales))}

            watch = Watch(evaluate, MONITOR, max(6, plan.epochs // 4), plan.epochs // 3)
        result = train_within_budget(
            name, network, step, lambda epoch: self.batches(windows, plan, name, epoch), plan, clock=job.clock,
            memo=job.memo, watch=watch, reserved=reserved, share_kept=SHARE_KEPT,
            fewest_share=REFIT_SHARE if held is None else 0.0, fixed=job.epochs is not None,
            quiet=job.source.progress is None)
        self.results[name], self.histories[name] = result, result.history.rows
        self.plan_json, self.forecasts[name] = plan.to_json(), result.forecast()
        job.say(f"  {result.line()}")
        return member

    def plan_again(self, kind: str, windows: Windows, plan: Plan) -> Plan:
        """The plan for all windows: as many epochs as were best in the choice, at the pace that was seen."""
        result = self.results[f"network-{kind}"]
        per_epoch = max(-(-min(len(windows), WINDOWS_PER_EPOCH) // plan.batch_size), 1)
        pace = result.history.actual["seconds_per_step"]
        return replace(plan, epochs=result.best_epoch, steps_per_epoch=per_epoch,
                       warmup_steps=min(plan.warmup_steps, per_epoch * result.best_epoch // 4),
                       forecast={"seconds_per_step": pace, "total_seconds": pace * per_epoch * result.best_epoch})
