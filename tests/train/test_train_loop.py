"""The loop: events in order, seeds by step, stops with reasons, one reading of many values, any kind of step."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gradatim.data.batch import Batch
from gradatim.errors import GradatimError
from gradatim.train.checkpoint import load_checkpoint
from gradatim.train.hooks import Checkpoint, Deadline, EarlyStop, HistoryFile, KeepBest, Progress, WeightAverage
from gradatim.train.loop import Stop, fit
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

ROWS = 40


def data(rows=ROWS, seed=0):
    source = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 6, generator=source)
    return inputs, inputs @ torch.arange(6.0)


def batches(inputs, targets, size):
    def of_epoch(epoch):
        return [
            Batch(np.arange(low, min(low + size, len(inputs))), {"x": inputs[low : low + size]},
                  {"y": targets[low : low + size]}, {"x": torch.ones(len(inputs[low : low + size]), dtype=torch.bool)},
                  {"x": list(range(low, min(low + size, len(inputs))))})
            for low in range(0, len(inputs), size)
        ]  # fmt: skip

    return of_epoch


def objective(output, batch):
    return nn.functional.mse_loss(output[:, 0], batch.targets["y"])


def forward(network, batch):
    return network(batch.inputs["x"])


def setup(plan, network=None):
    torch.manual_seed(0)
    network = network or nn.Linear(6, 1)
    return network, Supervised(network, objective, plan, forward=forward)


def plan(**changes):
    settings = {"epochs": 3, "steps_per_epoch": 4, "batch_size": 10, "optimizer": "sgd", "learning_rate": 0.02}
    return Plan(**settings | {"schedule": "constant", "clip_norm": None, "weight_decay": 0.0} | changes)


def bare_loop(network, epochs, size, rate):
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    inputs, targets = data()
    for _ in range(epochs):
        for low in range(0, ROWS, size):
            loss = nn.functional.mse_loss(network(inputs[low : low + size])[:, 0], targets[low : low + size])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return network


class Watch:
    def __init__(self):
        self.events = []

    def start(self, training):
        self.events.append("start")

    def batch(self, training):
        self.events.append((training.epoch, training.index))

    def epoch(self, training):
        self.events.append(("epoch", training.row["epoch"]))

    def end(self, training):
        self.events.append("end")


def test_events_come_in_order_and_the_result_is_that_of_a_bare_loop():
    network, step = setup(plan(epochs=2))
    watch = Watch()
    history = fit(step, batches(*data(), 10), plan(epochs=2), [watch], evaluate=lambda: {"score": torch.tensor(2.5)})
    of_epoch = [[(e, i) for i in range(1, 5)] + [("epoch", e + 1)] for e in range(2)]
    assert watch.events == ["start", *of_epoch[0], *of_epoch[1], "end"]
    assert history.reason == "epochs" and history.column("score") == [2.5, 2.5]
    assert history.column("steps") == [4, 8] and history.column("learning_rate") == [0.02, 0.02]
    torch.manual_seed(0)
    expected = bare_loop(nn.Linear(6, 1), 2, 10, 0.02)
    assert torch.equal(network.weight, expected.weight) and torch.equal(network.bias, expected.bias)
    assert history.actual["total_seconds"] > 0


def test_accumulation_equals_the_big_batch():
    """Parts of unequal size too: 10 rows in 3 parts."""
    results = []
    for accumulate in (1, 3):
        network, step = setup(plan(accumulate=accumulate, clip_norm=1.0, optimizer="momentum"))
        history = fit(step, batches(*data(), 10), plan(accumulate=accumulate, clip_norm=1.0, optimizer="momentum"))
        results.append((network.weight.detach(), history.column("loss"), history.column("gradient_norm_max")))
    assert torch.allclose(results[0][0], results[1][0], rtol=1e-5)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-5)
    assert results[0][2] == pytest.approx(results[1][2], rel=1e-5)


def test_clipping_bounds_the_update_and_the_norm_is_recorded_before_it():
    settings = plan(clip_norm=0.5, learning_rate=1.0, epochs=1)
    network, step = setup(settings)
    inputs, targets = data()
    for batch in batches(inputs, targets, 10)(0):
        before = network.weight.detach().clone(), network.bias.detach().clone()
        loss = objective(forward(network, batch), batch)
        norm = math.sqrt(sum(float(g.square().sum()) for g in torch.autograd.grad(loss, network.parameters())))
        values = step(batch)
        moved = math.sqrt(
            float(
                (network.weight.detach() - before[0]).square().sum()
                + (network.bias.detach() - before[1]).square().sum()
            )
        )
        assert values["gradient_norm"].item() == pytest.approx(norm, rel=1e-5)
        assert moved == pytest.approx(min(0.5, norm), rel=1e-4)


def test_clipping_equals_pytorch():
    settings = plan(clip_norm=0.5, epochs=1)
    network, step = setup(settings)
    torch.manual_seed(0)
    other = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(other.parameters(), 0.02)
    for batch in batches(*data(), 10)(0):
        step(batch)
        optimizer.zero_grad()
        objective(forward(other, batch), batch).backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5)
        optimizer.step()
    assert torch.allclose(network.weight, other.weight, rtol=1e-6)


def test_schedule_sets_the_rate_of_each_step():
    settings = plan(schedule="linear", warmup_steps=2, epochs=1)
    _, step = setup(settings)
    rates = []

    class Rates:
        def batch(self, training):
            rates.append(training.step.optimizer.param_groups[0]["lr"])

    fit(step, batches(*data(), 10), settings, [Rates()])
    assert rates == pytest.approx([0.02 / 3, 0.04 / 3, 0.02, 0.01])


def test_dropout_is_a_function_of_seed_epoch_and_step():
    def drawn(seed, skip=0):
        values = []

        class Draw:
            def __call__(self, batch):
                torch.rand(skip + 1)  # other numbers drawn before do not matter to the next step
                values.append(torch.initial_seed())
                return {"loss": torch.tensor(0.0)}

            def state_dict(self):
                return {}

        fit(Draw(), batches(*data(), 10), plan(seed=seed))
        return values

    assert drawn(1) == drawn(1, skip=3)
    assert len(set(drawn(1))) == 12 and not set(drawn(1)) & set(drawn(2))


def test_adversarial_steps_fit_the_same_loop():
    class TwoNetworks:
        def __init__(self):
            self.networks = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 1)])
            self.optimizers = [torch.optim.SGD(network.parameters(), 0.01) for network in self.networks]

        def __call__(self, batch):
            losses = []
            for sign, optimizer in zip((1, -1), self.optimizers):
                loss = sign * self.networks[1](self.networks[0](batch.inputs["x"])).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            return {"generator_loss": losses[0], "discriminator_loss": losses[1]}

        def state_dict(self):
            return {"networks": self.networks.state_dict()}

    history = fit(TwoNetworks(), batches(*data(), 10), plan(epochs=2))
    assert set(history.rows[0]) == {"epoch", "steps", "generator_loss", "discriminator_loss", "seconds"}


def test_epoch_mean_weights_rows_and_short_epochs_end_early():
    seen = []

    class Size:
        def __call__(self, batch):
            seen.append(len(batch))
            return {"loss": torch.tensor(float(len(batch)))}

        def state_dict(self):
            return {}

    history = fit(Size(), batches(*data(), 16), plan(epochs=1, steps_per_epoch=9))
    assert seen == [16, 16, 8] and history.rows[0]["loss"] == pytest.approx((16 * 16 * 2 + 8 * 8) / 40)
    fit(Size(), batches(*data(), 16), plan(epochs=1, steps_per_epoch=2))
    assert seen[3:] == [16, 16]


def test_a_loss_that_is_not_finite_stops_with_a_remedy_and_the_last_good_weights():
    settings = plan(epochs=5)
    network, step = setup(settings)
    inputs, targets = data()

    def poisoned(epoch):
        return batches(inputs if epoch < 2 else inputs / 0.0, targets, 10)(epoch)

    best = KeepBest(network, None)
    good = []

    class Good:
        def epoch(self, training):
            good.append(network.weight.detach().clone())

    stop = EarlyStop("development_loss", patience=3)
    history = fit(step, poisoned, settings, [best, Good(), stop], evaluate=lambda: {"development_loss": 1.0})
    assert history.reason == "not-finite" and len(history.rows) == 3
    assert "learning rate of 0.002" in history.notes[-1] and "loss" in history.notes[-1]
    assert best.best_epoch == 2 and torch.equal(network.weight, good[1])


def test_checkpoint_is_not_overwritten_by_broken_weights(tmp_path):
    settings = plan(epochs=5, learning_rate=1e12)
    network, step = setup(settings)
    history = fit(step, batches(*data(), 10), settings, [KeepBest(network, None), Checkpoint(tmp_path)])
    assert history.reason == "not-finite"
    assert network.weight.isfinite().all()
    stored = load_checkpoint(tmp_path)
    assert stored is None or stored["step"]["network"]["weight"].isfinite().all()


def test_divergence_is_noted():
    settings = plan(learning_rate=1.5, epochs=3)
    _, step = setup(settings)
    history = fit(step, batches(*data(), 10), settings)
    assert any("training diverges; try a learning rate of 0.15" in note for note in history.notes)


def test_early_stop_and_keep_best():
    scores = iter([3.0, 2.0, 2.5, 2.0, math.nan, 1.0])
    network, step = setup(plan(epochs=6))
    kept = []

    class Kept:
        def epoch(self, training):
            kept.append(network.weight.detach().clone())

    hooks = [KeepBest(network, "loss_there"), EarlyStop("loss_there", patience=3), Kept()]
    history = fit(step, batches(*data(), 10), plan(epochs=6), hooks, evaluate=lambda: {"loss_there": next(scores)})
    assert history.reason == "plateau" and len(history.rows) == 5
    assert hooks[0].best_epoch == 2 and torch.equal(network.weight, kept[1])
    with pytest.raises(GradatimError, match="expected a metric among epoch, steps, loss"):
        fit(setup(plan())[1], batches(*data(), 10), plan(), [EarlyStop("accuracy", "higher")])


def test_deadline_ends_in_mid_epoch_counts_what_was_done_and_stays_ended(tmp_path):
    settings = plan(epochs=1000)
    network, step = setup(settings)
    hooks = [Deadline(0.2), Checkpoint(tmp_path)]
    history = fit(step, batches(*data(), 10), settings, hooks, evaluate=lambda: {"score": 1.0})
    assert history.reason == "time" and "the time of 0 s was over after step" in history.notes[0]
    assert history.rows[-1]["score"] == 1.0
    weights = network.weight.detach().clone()
    start = load_checkpoint(tmp_path)
    network, step = setup(settings)
    again = fit(step, batches(*data(), 10), settings, [Checkpoint(tmp_path)], start=start)
    assert again.reason == "time" and again.rows == history.rows and torch.equal(network.weight, weights)


def test_resume_in_process_skips_batches_without_making_them(tmp_path):
    class Crash:
        def batch(self, training):
            if training.taken == 6:
                raise RuntimeError("the power went")

    network, step = setup(plan())
    with pytest.raises(RuntimeError):
        fit(step, batches(*data(), 10), plan(), [Crash(), Checkpoint(tmp_path, seconds=0.0)])
    made = []

    class Lazy:
        def __init__(self, made_beforehand):
            self.batches = made_beforehand

        def __len__(self):
            return len(self.batches)

        def __getitem__(self, index):
            made.append(index)
            return self.batches[index]

    network, step = setup(plan())
    start = load_checkpoint(tmp_path)
    fit(step, lambda epoch: Lazy(batches(*data(), 10)(epoch)), plan(), [Checkpoint(tmp_path)], start=start)
    assert made[0] == 1  # step 5 of 12 was stored, the second of epoch 2 comes next
    torch.manual_seed(0)
    assert torch.equal(network.weight, bare_loop(nn.Linear(6, 1), 3, 10, 0.02).weight)


def test_another_plan_network_or_hooks_are_refused(tmp_path):
    _, step = setup(plan())
    fit(step, batches(*data(), 10), plan(epochs=3), [Checkpoint(tmp_path)])
    start = load_checkpoint(tmp_path)
    other = plan(learning_rate=0.5)
    with pytest.raises(GradatimError, match="learning_rate differ; resume with the stored plan"):
        fit(setup(other)[1], batches(*data(), 10), other, [Checkpoint(tmp_path)], start=start)
    with pytest.raises(GradatimError, match="expected the hooks"):
        fit(step, batches(*data(), 10), plan(), [EarlyStop("loss")], start=start)
    with pytest.raises(GradatimError, match="expected the network"):
        fit(setup(plan(), nn.Linear(6, 2))[1], batches(*data(), 10), plan(), start=start)
    start["machine"]["threads"] = 999
    history = fit(step, batches(*data(), 10), plan(), [Checkpoint(tmp_path)], start=start)
    assert "in place of 999: the result is not bit-equal" in history.notes[0]


def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    import os
    import signal

    class Press:
        def batch(self, training):
            if training.taken == 6:
                os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    _, step = setup(plan())
    with pytest.raises(KeyboardInterrupt):
        fit(step, batches(*data(), 10), plan(), [Press(), Checkpoint(tmp_path)])
    assert signal.getsignal(signal.SIGINT) is handler
    assert load_checkpoint(tmp_path)["position"] == {"epoch": 1, "index": 2, "taken": 6}


def test_weight_average_follows_its_recurrence():
    settings = plan(epochs=2)
    network, step = setup(settings)
    average = WeightAverage(network, 0.9)
    expected = [network.weight.detach().double().clone()]

    class Reference:
        def batch(self, training):
            decay = min(0.9, (1 + training.taken) / (10 + training.taken))
            expected.append(decay * expected[-1] + (1 - decay) * network.weight.detach().double())

    seen = []
    evaluate = average.evaluating(lambda: seen.append(network.weight.detach().clone()) or {})
    live = []

    class Live:
        def epoch(self, training):
            live.append(network.weight.detach().clone())

    fit(step, batches(*data(), 10), settings, [average, Reference(), Live()], evaluate=evaluate)
    assert torch.allclose(seen[-1].double(), expected[-1], atol=1e-6)
    assert not torch.equal(live[-1], seen[-1])  # training itself went on from the weights
    assert torch.equal(network.weight, seen[-1])


def test_progress_prints_a_line_a_quarter_when_piped_and_nothing_when_quiet(capsys):
    import io

    from rich.console import Console

    for quiet in (False, True):
        out = io.StringIO()
        _, step = setup(plan(epochs=25))
        progress = Progress(quiet=quiet, console=Console(file=out, width=60))
        fit(step, batches(*data(), 10), plan(epochs=25), [progress])
        lines = out.getvalue().splitlines()
        if quiet:
            assert lines == []
        else:
            assert len(lines) == 5 and lines[0].startswith("training 25 %, epoch 7 of 25")
            assert lines[-1].startswith("training ended after 100 steps") and lines[-1].endswith("epochs")
    terminal = io.StringIO()
    _, step = setup(plan())
    fit(step, batches(*data(), 10), plan(), [Progress(console=Console(file=terminal, force_terminal=True, width=80))])
    assert "training ended after 12 steps" in terminal.getvalue()
    assert capsys.readouterr() == ("", "")


def test_history_file_is_complete_after_each_epoch(tmp_path):
    path = tmp_path / "history.csv"
    lines = []

    class Look:
        last = True

        def epoch(self, training):
            lines.append(len(path.read_text().splitlines()))

    extra = iter([{}, {"late": 1.0}, {"late": None}])
    _, step = setup(plan())
    history = fit(step, batches(*data(), 10), plan(), [HistoryFile(path), Look()], evaluate=lambda: next(extra))
    assert lines == [2, 3, 4]
    header, first, _, third = (line.split(",") for line in path.read_text().splitlines())
    assert header == history.names() and first[header.index("late")] == "" == third[header.index("late")]
    assert float(third[header.index("loss")]) == history.rows[2]["loss"]


def test_stop_of_a_step_ends_too():
    class Quit:
        def __call__(self, batch):
            raise Stop("enough", "the step said so")

        def state_dict(self):
            return {}

    history = fit(Quit(), batches(*data(), 10), plan())
    assert history.reason == "enough" and history.notes == ["the step said so"] and history.rows == []
