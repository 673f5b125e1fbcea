"""The network as a candidate: measure, plan, train on the parts of the choice, answer, train again on all rows.

Everything that the clock decides (how many networks, how many epochs) is a stored decision; the rest is a pure
function of data and seed, so that a resumed run ends with the same weights.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gradatim.data.augment import Augmentation, Follow, Mixed, augment, default_augmentation, mix
from gradatim.data.augment_sound import waves_of, with_waves
from gradatim.data.batch import Batch
from gradatim.data.codecs import Codec, codec_for
from gradatim.data.codecs.columns import fit_column
from gradatim.data.loader import Encoded, batch_order
from gradatim.models.address import build, load_weights
from gradatim.randomness import seed_of
from gradatim.tasks.budget import REFIT_SHARE, TrainingResult, Watch, train_within_budget
from gradatim.tasks.choose import Candidate
from gradatim.tasks.frozen import encoder_of
from gradatim.tasks.heads import DECODED
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember, blueprint_of
from gradatim.tasks.network_refit import refitted_networks
from gradatim.tasks.placed import as_placed
from gradatim.tasks.planning import MONITOR, Epochs, decide
from gradatim.tasks.refit import SHARE_KEPT
from gradatim.tasks.word_tables import begin_with, is_words, network_codec
from gradatim.train.finetune import Thaw, thaw_schedule
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

if TYPE_CHECKING:
    from gradatim.tasks.supervised import Line


class NetworkTrainer:
    """Trains the networks of a line; keeps histories, the plan and the forecast for the report."""

    def __init__(self, line: "Line") -> None:
        self.line = line
        self.histories: dict[str, Any] = {}
        self.plan_json: dict[str, Any] = {}
        self.forecast: dict[str, Any] = {}
        self._encoded: list[tuple[dict[str, Codec], Encoded]] = []
        self.rows_left = 0  # of all networks still to train: how the time that is left is shared out

    def candidate(self) -> Candidate:
        """Train on the parts of the choice and answer the rows that were held out."""
        line = self.line
        settings = self._settings()
        line.say(f"  plan: {settings['why']}")
        labelled = len(line.rows) + len(line.split.test)
        self.rows_left = settings["networks"] * (len(line.parts[0][0]) + (0 if settings["keep"] else labelled))
        members: list[NetworkMember] = []
        compared = line.compared()
        answers = np.full((len(compared), *line.shape()), np.nan)
        place = {int(row): number for number, row in enumerate(compared)}
        began = time.perf_counter()
        for number, (rows, held) in enumerate(line.parts[: settings["networks"]]):
            member, _ = self.train(f"network-{number + 1}", rows, held, Plan.from_json(settings["plan"]))
            members.append(member)
            where = [place[int(row)] for row in held]
            answers[where] = member.answer_rows(self.encoded(member.codecs), held)
        seconds = time.perf_counter() - began
        line.clock.note("networks", seconds)
        note = f"{len(members)} of {len(line.parts)} folds" if line.folded else ""

        def scored() -> list[NetworkMember]:
            return members

        def final() -> list[NetworkMember] | None:
            return refitted_networks(self, len(members), settings)

        return Candidate("network", "network", tuple(c.name for c in line.columns), answers, seconds / len(members),
                         note=note, extra={"scored": scored, "final": final})

    @property
    def mirrored(self) -> bool:
        """Whether answers are averaged with those to mirrored pictures: the recipe `fast` where both mean the same."""
        choices = self.line.choices
        return choices.recipe == "fast" and choices.flip and as_placed(self.line.task) is None

    def _settings(self) -> dict[str, Any]:
        """The decision on plan, placement and number of networks, measured once and stored."""
        rows, held = self.line.parts[0]
        settings = self.line.memo.decide("networks", lambda: decide(self, rows, held))
        torch.set_num_threads(Plan.from_json(settings["plan"]).placement.threads)
        return settings

    def codecs(self, rows: np.ndarray) -> dict[str, Codec]:
        """Codecs fitted on the given rows; those of files, series and pretrained encoders are the line's."""
        line, codecs = self.line, dict[str, Codec]()
        for column in line.columns:
            chosen = encoder_of(line.choices.encoders, column)
            if chosen and is_words(column, chosen):
                cells = line.source.table.cells(column.name)
                codecs[column.name] = network_codec(column, chosen, [cells[row] for row in rows])
            elif column.kind in DECODED or (line.choices.fine_tune and column.name in line.frozen):
                codecs[column.name] = line.codecs[column.name]
            else:
                frame = line.source.table.frame
                codecs[column.name] = fit_column(codec_for(column), frame.get_column(column.name)[rows])
        return codecs

    def encoded(self, codecs: dict[str, Codec]) -> Encoded:
        """The table through these codecs and the target's; kept, so that no cell is decoded again for the answers."""
        found = next((encoded for known, encoded in self._encoded if known is codecs), None)
        if found is None:
            found = self.line.source.encode({**codecs, self.line.task.target: self.line.task.codec})
            self._encoded.append((codecs, found))
        return found

    def forget_encoded(self) -> None:
        """Free the tables that were encoded for networks that are scored by now."""
        self._encoded.clear()

    def answers(self, ensemble: Ensemble, rows: np.ndarray) -> np.ndarray:
        """The answers of the fitted members to some rows, from what is decoded already."""

        def answer(member: Any) -> np.ndarray:
            if isinstance(member, NetworkMember):
                return member.final_answer(self.encoded(member.codecs), rows)
            return member.answer_rows(self.line.source, rows)

        return ensemble.answer_by(answer) if len(rows) else np.zeros((0, *self.line.shape()))

    def blueprint(self, codecs: dict[str, Codec]) -> dict[str, Any]:
        """Address and arguments of the network."""
        line, placed = self.line, as_placed(self.line.task)
        encoders = line.network_encoders if placed is None else {**placed.encoders, **line.network_encoders}
        return blueprint_of(line.columns, codecs, line.task.outputs, encoders=encoders, fusion=line.choices.fusion,
                            fine_tune=line.choices.fine_tune, arguments=None if placed is None else placed.network)

    def network(self, codecs: dict[str, Codec], name: str) -> torch.nn.Module:
        """A new network whose first weights follow from the seed and the name of the stage."""
        torch.manual_seed(seed_of(self.line.choices.seed, "weights", name))
        network = build(self.blueprint(codecs))
        for column in self.line.columns:
            chosen = encoder_of(self.line.choices.encoders, column)
            if chosen and is_words(column, chosen):
                begin_with(network.encoder(column.name), chosen["weights"],  # type: ignore[operator]
                           moving=self.line.choices.fine_tune)
                continue
            chosen = encoder_of(self.line.network_encoders, column)
            if chosen and chosen.get("weights"):
                load_weights(network.encoder(column.name), chosen["weights"])  # type: ignore[operator]
        return network

    def thaws(self, network: torch.nn.Module, plan: Plan) -> dict[str, Thaw]:
        """The pace of the parameters that came with pretrained weights, when these are to be trained on."""
        found: dict[str, Thaw] = {}
        begun = {c.name for c in self.line.columns if is_words(c, encoder_of(self.line.choices.encoders, c))}
        for name in sorted(set(self.line.frozen) - begun) if self.line.choices.fine_tune else ():
            body = network.encoder(name)  # type: ignore[operator]
            prefix = next(path for path, module in network.named_modules() if module is body)
            found |= thaw_schedule([f"{prefix}.{key}" for key, _ in body.named_parameters()], plan.total_steps)
        return found

    def maker(self, encoded: Encoded, plan: Plan, name: str) -> Callable[..., Batch]:
        """Batch maker: rows → augmented batch on the network's device, each row a function of (seed, epoch, row)."""
        line = self.line
        inputs = [column.name for column in line.columns]
        kinds = {column.name: column.kind for column in line.columns}
        options = self.augmentation(encoded.codecs)
        waves = waves_of(line.source.table, encoded.codecs, options, line.source.decoded)
        inputs = [name for name in inputs if name not in {each.name for each in waves}]
        mixup, cutmix = line.choices.mixing
        seed = seed_of(plan.seed, name)

        def make(rows: np.ndarray, epoch: int = 0) -> Batch:
            batch = encoded.batch(rows, inputs, [line.task.target]).to(plan.placement.device)
            batch = with_waves(batch, waves, seed=seed, epoch=epoch, device=plan.placement.device)
            batch = augment(batch, options, kinds, seed=seed, epoch=epoch, follows=follows_of(line.task))
            if not mixup and not cutmix:
                return batch
            return mix_targets(mix(batch, kinds, mixup=mixup, cutmix=cutmix, seed=seed, epoch=epoch), line.task)

        return make

    def augmentation(self, codecs: Mapping[str, Codec]) -> dict[str, Augmentation]:
        """What may happen to each input: careful defaults, then what the user asked for."""
        found = {}
        for column in self.line.columns:
            options = default_augmentation(column.kind, codecs[column.name].describe())
            if self.line.choices.flip and column.kind == "image":
                options = replace(options, flip=0.5)
            asked = self.line.choices.augment
            found[column.name] = options if asked is None else asked.of(column.name, column.kind, options)
        return found

    def train(self, name: str, rows: np.ndarray, held: np.ndarray | None, plan: Plan
              ) -> tuple[NetworkMember, TrainingResult]:
        """Train one network on `rows`, watching `held` when given: a refit has none."""
        line = self.line
        codecs = self.codecs(rows)
        encoded = self.encoded(codecs)
        network = self.network(codecs, name)
        member = NetworkMember(codecs, self.blueprint(codecs), network, plan.placement, line.task,
                               mirrored=self.mirrored)
        objective = line.task.objective(line.labels[rows], label_smoothing=plan.label_smoothing)
        step = Supervised(network, objective, plan, thaws=self.thaws(network, plan))
        make = self.maker(encoded, plan, name)
        seed = seed_of(plan.seed, name, "order")

        def batches(epoch: int) -> Sequence[Batch]:
            order = batch_order(rows, plan.batch_size, seed=seed, epoch=epoch)
            return Epochs(order[: plan.steps_per_epoch], lambda r: make(r, epoch))  # type: ignore[return-value]

        def evaluate() -> dict[str, float]:
            assert held is not None
            answer = member.answer_rows(encoded, held)
            truth = line.labels[held]
            row = {MONITOR: float(line.task.row_losses(answer, truth).mean())}
            if line.task.classes:
                row["development_accuracy"] = float((answer.argmax(axis=1) == truth).mean())
            return row

        watch = None if held is None else Watch(evaluate, MONITOR, max(8, plan.epochs // 3), plan.epochs // 2)
        result = train_within_budget(
            name, network, step, batches, plan, clock=line.clock, memo=line.memo, watch=watch,
            reserved=self._seconds_after(len(rows), plan), share_kept=SHARE_KEPT,
            fewest_share=REFIT_SHARE if held is None else 0.0, fixed=line.choices.epochs is not None,
            quiet=line.source.progress is None,
        )
        self._note(result, plan)
        return member, result

    def _seconds_after(self, rows: int, plan: Plan) -> float:
        """Seconds forecast for the networks that come after one of so many rows."""
        self.rows_left = max(0, self.rows_left - rows)
        return plan.forecast.get("total_seconds", 0.0) * self.rows_left / rows + self.line.reserved

    def _note(self, result: TrainingResult, plan: Plan) -> None:
        self.histories[result.name] = result.history.rows
        self.plan_json = plan.to_json()
        self.forecast[result.name] = result.forecast()
        self.line.say(f"  {result.line()}")
        self.line.notes.extend(result.notes)


def follows_of(task: Any) -> dict[str, Follow]:
    """The target of the task where it lies in a picture and moves with it."""
    placed = as_placed(task)
    return {} if placed is None else {task.target: placed.follow}


def mix_targets(mixed: Mixed, task: Any) -> Batch:
    """The mixed batch with its targets mixed alike: shares of the classes (B, C), or numbers (B,)."""
    truth = mixed.batch.targets[task.target]
    assert isinstance(truth, torch.Tensor)
    soft, weight = truth.float(), mixed.weight
    if task.outputs > 1:
        soft, weight = torch.nn.functional.one_hot(truth, task.outputs).float(), weight[:, None]
    mixed.batch.targets[task.target] = weight * soft + (1 - weight) * soft[mixed.pair]
    return mixed.batch
