"""Meta-prompts on the embedded backbone, which has seen no quality label.

Together they are a model on which the effect of each module of the method can be measured.
"""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.synthetic.distortions import DISTORTIONS
from grmp_plugin.synthetic.pictures import PictureFiles
from grmp_plugin.synthetic.tasks import DistortedTasks
from grmp_plugin.training.embedded.photographs import Photograph
from grmp_plugin.training.embedded.settings import Recipe
from grmp_plugin.training.loop import Step
from grmp_plugin.training.meta_prompts import pretrain_prompts
from grmp_plugin.training.state import SavedState
from grmp_plugin.training.watch import Watch

log = logging.getLogger(__name__)


def learn_prompts(
    recipe: Recipe, backbone: Checkpoint, photographs: Sequence[Photograph], state: Path
) -> Checkpoint:
    """Learn prompts over tasks of distorted photographs, or resume an interrupted run.

    Args:
        recipe: Seed, distortions to hold out, and training settings.
        backbone: The backbone, with untrained prompts.
        photographs: Sources of the tasks; photographs with authentic distortions are not used.
        state: File for the state of an interrupted run.

    Returns:
        The backbone with these prompts.
    """
    settings = recipe.prompts
    kinds = [kind for kind in DISTORTIONS if kind not in settings.held_out]
    good = [p.path for p in photographs if p.set not in recipe.corpus.authentic]
    order = np.random.default_rng([recipe.seed, 6]).permutation(len(good))[: settings.pictures]
    pictures = PictureFiles(tuple(good[number] for number in sorted(order)))
    tasks = DistortedTasks(pictures, "photographs", pictures_per_task=settings.pictures_per_task, kinds=kinds)
    saved = SavedState(state, {"prompts": dataclasses.asdict(settings), "seed": recipe.seed})
    checkpoint = pretrain_prompts(
        backbone,
        [tasks],
        settings.training,
        seed=recipe.seed,
        device="cpu",
        watch=_Log(),
        saved=saved,
        resume=saved.path.exists(),
    )
    own = {
        "start": "the embedded backbone",
        "recipe_version": recipe.version,
        "held_out": list(settings.held_out),
    }
    return dataclasses.replace(checkpoint, info={**checkpoint.info, **own})


class _Log(Watch):
    def step(self, step: Step) -> None:
        if step.step % 10 == 0:
            losses = ", ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
            log.info("prompts, task %d of %d: %s", step.step, step.steps, losses)
