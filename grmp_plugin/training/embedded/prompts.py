"""Meta-prompts on the embedded backbone, which has seen no quality label: the method's role, by itself.

With that backbone they make a model in which the method's modules can be seen at work.
"""

import dataclasses
import logging
from pathlib import Path

from grmp_plugin.data.distortions import DISTORTIONS
from grmp_plugin.data.tasks import drawn_tasks
from grmp_plugin.network.checkpoint import read_checkpoint, write_checkpoint
from grmp_plugin.training.embedded.settings import Recipe
from grmp_plugin.training.loop import Step
from grmp_plugin.training.meta_prompts import pretrain_prompts
from grmp_plugin.training.state import SavedState
from grmp_plugin.training.watch import Watch

log = logging.getLogger(__name__)


def learn_prompts(recipe: Recipe, backbone: Path, work: Path) -> Path:
    """Learn prompts over drawn distortion tasks, or go on where an interrupted run stopped.

    Args:
        recipe: seed, kinds of distortion held out, and how.
        backbone: checkpoint of the backbone stage.
        work: folder of the resumable state and of the checkpoint.

    Returns:
        Checkpoint file in half precision: the backbone with these prompts.
    """
    file = work / "meta.safetensors"
    if file.exists():
        return file
    settings = recipe.prompts
    kinds = [kind for kind in DISTORTIONS if kind not in settings.held_out]
    run = {"prompts": dataclasses.asdict(settings), "seed": recipe.seed}
    saved = SavedState(work / "prompts.pt", run)
    checkpoint = pretrain_prompts(
        read_checkpoint(backbone),
        [drawn_tasks(pictures=settings.pictures, seed=recipe.seed, kinds=kinds)],
        settings.training,
        seed=recipe.seed,
        device="cpu",
        watch=_Log(),
        saved=saved,
        resume=saved.path.exists(),
    )
    # The backbone's file name alone: the folder means something on this machine only.
    own = {"start": backbone.name, "recipe_version": recipe.version, "held_out": list(settings.held_out)}
    info = {**checkpoint.info, **own}
    write_checkpoint(dataclasses.replace(checkpoint, info=info), file, half=True)
    saved.remove()
    return file


class _Log(Watch):
    def step(self, step: Step) -> None:
        if step.step % 50 == 0:
            losses = ", ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
            log.info("prompts, task %d of %d: %s", step.step, step.steps, losses)
