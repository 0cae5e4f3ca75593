"""The loop of the embedded model's own stages: AdamW, warm-up and half cosine, seeded and resumable."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from grmp_plugin.files import atomic_write
from grmp_plugin.network.grmp_iqa import GRMPIQA

log = logging.getLogger(__name__)

# CLIP's own bound on the logit scale.
_MAX_LOGIT_SCALE = math.log(100)
_LOG_EVERY, _SAVE_EVERY = 50, 200  # steps


class StepSettings(Protocol):
    """Settings of a stage that the loop reads."""

    @property
    def steps(self) -> int:
        """Number of steps."""

    @property
    def warmup(self) -> int:
        """Steps of linear warm-up."""

    @property
    def weight_decay(self) -> float:
        """Weight decay of AdamW."""


def run_steps(
    name: str,
    network: GRMPIQA,
    groups: list[dict[str, Any]],
    losses: Callable[[int], dict[str, Tensor]],
    settings: StepSettings,
    seed: int,
    state_file: Path,
) -> float:
    """Take all steps of a stage, or those that remain of an interrupted run.

    Args:
        name: Name of the stage, for the log.
        network: The network, trained in place.
        groups: Parameter groups, each with its learning rate `lr`.
        losses: Returns the named parts of the loss for a step number.
        settings: Number of steps and schedule.
        seed: Random seed of the steps.
        state_file: File for the state of an interrupted run.

    Returns:
        Minutes that the stage took, interrupted ones included.
    """
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
    first, seconds = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first, seconds = state["step"], state["seconds"]
        log.info("%s: resumed at step %d", name, first)
    started = time.monotonic() - seconds
    running: dict[str, float] = {}
    for step in range(first, settings.steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(step, settings)
        torch.manual_seed(seed * 1_000_003 + step)
        network.train()
        parts = losses(step)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            network.clip.logit_scale.clamp_(max=_MAX_LOGIT_SCALE)
        done = step + 1
        for part, value in parts.items():
            running[part] = 0.98 * running.get(part, value.item()) + 0.02 * value.item()
        if done % _LOG_EVERY == 0:
            told = ", ".join(f"{part} {value:.3f}" for part, value in running.items())
            log.info("%s, step %d, %.0f s: %s", name, done, time.monotonic() - started, told)
        if done % _SAVE_EVERY == 0:
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": done,
                "seconds": time.monotonic() - started,
            }
            with atomic_write(state_file) as temporary:
                torch.save(state, temporary)
    network.eval()
    return round((time.monotonic() - started) / 60, 1)


def schedule(step: int, settings: StepSettings) -> float:
    """Factor of the learning rate: linear warm-up, then a half cosine to zero."""
    progress = min(1.0, step / settings.steps)
    return min(1.0, (step + 1) / settings.warmup) * (0.5 + 0.5 * math.cos(math.pi * progress))
