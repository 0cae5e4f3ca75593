"""First-order meta-learning of prompts: inner steps on a task, outer steps over several tasks.

A task is one kind of distortion, its images split into support and query. No gradient flows through the
inner steps; the outer step moves towards the adapted parameters. Source: the authors' released code for
arXiv:2409.05381; the outer step is that of Reptile, arXiv:1803.02999.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Images and their quality: (B, 3, S, S), normalised, and (B,) in [0, 1]."""

    pixels: Tensor
    quality: Tensor


class Task(NamedTuple):
    """Batches of one task's support and query images; at least one of each."""

    support: Sequence[Batch]
    query: Sequence[Batch]


class InnerLosses(NamedTuple):
    """Losses before each inner step, in the order of the steps."""

    support: list[float]
    query: list[float]


def inner_steps(task: Task, loss: Callable[[Batch], Tensor], optimizer: torch.optim.Optimizer) -> InnerLosses:
    """Adapt to one task, in place, alternating between support and query batches.

    Every support batch is used once; query batches are repeated as needed.

    Args:
        task: The task.
        loss: Maps a batch to its loss, a scalar that depends on the optimizer's parameters.
        optimizer: Optimizer of the parameters that learn.
    """
    losses = []
    for number, support in enumerate(task.support):
        losses.append(_step(support, loss, optimizer))
        losses.append(_step(task.query[number % len(task.query)], loss, optimizer))
    # All in one transfer: the device need not wait after each step.
    values = torch.stack(losses).tolist()
    return InnerLosses(values[0::2], values[1::2])


def outer_step(
    theta: Sequence[Tensor], displacement: Sequence[Tensor], tasks: int, beta: float
) -> list[Tensor]:
    """theta - beta * mean over tasks of (theta - theta_i).

    Args:
        theta: Meta-parameters.
        displacement: Sum over tasks of theta - theta_i, by tensor (see `displace`).
        tasks: Number of tasks in the sum.
        beta: Outer learning rate; 1 moves all the way to the mean over tasks.
    """
    return [t - beta * (d / tasks) for t, d in zip(theta, displacement, strict=True)]


@torch.no_grad()
def displace(
    displacement: Sequence[Tensor] | None, theta: Sequence[Tensor], adapted: Sequence[Tensor]
) -> list[Tensor]:
    """Add theta - theta_i of one more task to the sum; None starts a new sum."""
    moved = [t - a.detach() for t, a in zip(theta, adapted, strict=True)]
    if displacement is None:
        return moved
    return [d + m for d, m in zip(displacement, moved, strict=True)]


def _step(batch: Batch, loss: Callable[[Batch], Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    value = loss(batch)
    value.backward()
    optimizer.step()
    return value.detach()
