"""One optimisation step: what differs between kinds of training. The loop never does.

A Step is any callable `step(batch) -> {name: detached tensor}` with `state_dict()` (a tree of dicts and lists
whose leaves are tensors and JSON values) and `load_state_dict(tree)`. An adversarial or style step is another
class with these three; it returns tensors, not numbers, so that the loop reads them when it likes.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gradatim.data.batch import Batch, Field
from gradatim.device import autocast
from gradatim.errors import GradatimError
from gradatim.train.finetune import Thaw, rate_of
from gradatim.train.optim import load_optimizer_state, make_optimizer, optimizer_state
from gradatim.train.plan import Plan
from gradatim.train.schedule import SchedulePosition

Objective = Callable[[Any, Batch], Tensor]
Forward = Callable[[nn.Module, Batch], Any]


class Step(Protocol):
    """What the loop needs of a step."""

    def __call__(self, batch: Any) -> Mapping[str, Tensor]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, value: Mapping[str, Any], /) -> None: ...


def forward_columns(network: nn.Module, batch: Batch) -> Any:
    """The forward pass of a network over named columns: `network(inputs, present)`."""
    return network(batch.inputs, batch.present)


class Supervised:
    """Forward, objective, backward, clip, update: the step of everything that has a target.

    network: moved to the plan's device and layout; objective(output, batch): mean loss of the batch's rows,
    given the output in float32; forward(network, batch): by default `network(batch.inputs, batch.present)`.
    With `plan.accumulate` = k a batch is computed in k parts whose gradients add up to the whole batch's
    (batch normalisation sees the parts). thaws: parameters that learn more slowly or later, see
    `gradatim.train.finetune`. position: where the steps stand on the schedule, see `SchedulePosition`. Returns "loss"
    and, when it is computed, "gradient_norm" (before clipping).
    """

    def __init__(
        self, network: nn.Module, objective: Objective, plan: Plan, *, forward: Forward = forward_columns,
        thaws: Mapping[str, Thaw] | None = None,
    ) -> None:
        placement = plan.placement
        self.network = network.to(placement.device)
        if placement.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = objective
        self.forward = forward
        self.plan = plan
        self.optimizer = make_optimizer(
            plan.optimizer, self.network, plan.learning_rate, plan.weight_decay, thaws, **plan.optimizer_options
        )
        self.taken = 0
        self.position = SchedulePosition(plan.total_steps)
        self._factor = plan.factors()
        self._autocast = autocast(placement)
        self._parameters = [p for group in self.optimizer.param_groups for p in group["params"]]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the weights from one batch."""
        plan = self.plan
        if not self.network.training:
            self.network.train()
        batch = batch.to(plan.placement.device)
        if plan.accumulate == 1:
            loss = self._loss(batch)
            loss.backward()
            loss = loss.detach()
        else:
            losses = []
            for part in _parts(batch, plan.accumulate):
                share = self._loss(part) * (len(part) / len(batch))
                share.backward()
                losses.append(share.detach())
            loss = torch.stack(losses).sum()
        values = {"loss": loss}
        if plan.clip_norm is not None or self.taken % plan.norm_every == 0:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            values["gradient_norm"] = norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            if plan.clip_norm is not None:
                # As torch.nn.utils.clip_grad_norm_, without its grouping by device and dtype.
                torch._foreach_mul_(gradients, (plan.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        position = self.position.at(self.taken)
        rate = plan.learning_rate * self._factor(position)
        for group in self.optimizer.param_groups:
            group["lr"] = rate_of(group, rate, position)
        self.optimizer.step()
        for parameter in self._parameters:
            parameter.grad = None
        self.taken += 1
        return values

    def _loss(self, batch: Batch) -> Tensor:
        with self._autocast:
            output = self.forward(self.network, batch)
        if isinstance(output, Tensor) and output.dtype == torch.bfloat16:
            output = output.float()
        return self.objective(output, batch)

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and count of steps, by name; tensors are the live ones, not copies."""
        return {
            "network": dict(self.network.state_dict()),
            "optimizer": optimizer_state(self.optimizer),
            "taken": self.taken,
            "cuts": self.position.to_json(),
        }

    def load_state_dict(self, value: Mapping[str, Any], /) -> None:
        """Put back what `state_dict` returned, bit by bit, in this network's memory layout."""
        try:
            self.network.load_state_dict(value["network"])
        except (RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise GradatimError(f"expected the network that the checkpoint was made with: {reason}") from None
        load_optimizer_state(self.optimizer, value["optimizer"])
        self.optimizer.zero_grad()
        self.taken = int(value["taken"])
        self.position.restore(value.get("cuts", ()))  # checkpoints of older versions have none


def _parts(batch: Batch, count: int) -> Iterator[Batch]:
    """The batch in `count` parts of nearly equal size, in order; fewer when there are fewer rows."""
    count = min(count, len(batch))
    bounds = [len(batch) * part // count for part in range(count + 1)]
    for low, high in pairwise(bounds):

        def cut(value: Field, low: int = low, high: int = high) -> Field:
            if isinstance(value, dict):
                return {name: tensor[low:high] for name, tensor in value.items()}
            return value[low:high]

        yield Batch(
            batch.rows[low:high],
            {name: cut(value) for name, value in batch.inputs.items()},
            {name: cut(value) for name, value in batch.targets.items()},
            {name: value[low:high] for name, value in batch.present.items()},
            {name: value[low:high] for name, value in batch.context.items()},
        )
