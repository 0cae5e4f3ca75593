"""Meta-prompt pre-training from start to end: from sources of tasks to a checkpoint with new prompts."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from grmp_plugin.config import PromptConfig
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.start import with_new_prompts
from grmp_plugin.synthetic.tasks import TaskSource
from grmp_plugin.training.loop import Batches, Step, run
from grmp_plugin.training.pretrain_model import GRMPPretrainModel
from grmp_plugin.training.settings import PretrainSettings
from grmp_plugin.training.state import SavedState, losses_of
from grmp_plugin.training.task_views import TaskViews
from grmp_plugin.training.watch import Watch


def pretrain_prompts(
    start: Checkpoint,
    sources: Sequence[TaskSource],
    settings: PretrainSettings,
    *,
    prompts: PromptConfig | None = None,
    seed: int,
    device: str,
    watch: Watch,
    saved: SavedState | None = None,
    resume: bool = False,
    log: list[dict[str, float]] | None = None,
) -> Checkpoint:
    """Learn prompts over distortion tasks, from newly drawn ones.

    Args:
        start: The model to train, whose prompts are replaced.
        sources: Sources of the tasks.
        settings: Settings of the training.
        prompts: Numbers and texts of the new prompts; those of the start by default.
        seed: Random seed of prompts, tasks and views.
        device: `cpu` or `cuda`.
        watch: Receives the progress.
        saved: Stores the state; None: it is not stored.
        resume: Whether to resume from the saved state.
        log: A list to which the losses of each task are added, those before an interruption included.

    Returns:
        The checkpoint; its info tells how far the prompts moved.

    Raises:
        ImageError: When an image of a task cannot be read.
        InputError: When a task cannot be drawn.
        TrainingInterrupted: When the watch asked to stop.
        TrainingError: When training cannot continue.
    """
    new = with_new_prompts(start, seed, prompts or PromptConfig())
    trainer = GRMPPretrainModel(_options(new, settings, seed, device))
    tasks = TaskViews(sources, trainer.net.config.preprocess, settings, seed)
    total = settings.outer_steps * settings.tasks_per_step
    losses: list[dict[str, float]] = [] if log is None else log
    state = saved.load() if saved is not None and resume else None
    if state is not None and saved is not None:
        try:
            losses.extend(_losses(state, settings.tasks_per_step))
        except (KeyError, TypeError, ValueError) as error:
            raise saved.unusable() from error

    def on_step(step: Step) -> None:
        losses.append(dict(step.losses))
        watch.step(step)

    def save(loop: dict[str, Any]) -> None:
        if saved is not None:
            saved.save({"loop": loop, "log": losses})

    run(
        trainer,
        _batches(tasks, total),
        math.ceil(total / len(tasks)),
        total,
        state=None if state is None else state["loop"],
        save=save,
        on_step=on_step,
        should_stop=watch.should_stop,
    )
    trainer.info = {
        "stage": "pre-trained prompts",
        "start": start.source,
        "data": [source.name for source in sources],
        "distortions": len(tasks),
        "seed": seed,
        "protocol": settings.protocol,
        "outer_steps": settings.outer_steps,
        "tasks_per_step": settings.tasks_per_step,
        "inner_learning_rate": settings.inner_learning_rate,
        "outer_learning_rate": settings.outer_learning_rate,
        "prompts_moved": round(trainer.moved(), 6),
    }
    return trainer.checkpoint()


def _losses(state: Mapping[str, Any], tasks_per_step: int) -> list[dict[str, float]]:
    """The losses of each task in a saved state; KeyError, TypeError or ValueError for anything else."""
    log = losses_of(state)
    complete = all({"l_support", "l_query"} <= losses.keys() for losses in log)
    ends = all("moved" in losses for losses in log[tasks_per_step - 1 :: tasks_per_step])
    if not (complete and ends and len(log) == state["loop"]["step"]):
        raise ValueError("not the losses of its steps")
    return log


def _options(start: Checkpoint, settings: PretrainSettings, seed: int, device: str) -> dict[str, Any]:
    """pyiqa's options for the trainer."""
    return {
        "num_gpu": 0 if device == "cpu" else 1,
        "is_train": True,
        "dist": False,
        "manual_seed": seed,
        "network": {"type": "GRMPIQA", "model": start},
        "train": {
            "optim": {"type": "Adam", "lr": settings.inner_learning_rate},
            "protocol": settings.protocol,
            "outer_learning_rate": settings.outer_learning_rate,
            "tasks_per_step": settings.tasks_per_step,
            "support_batch": settings.support_batch,
            "query_batch": settings.query_batch,
        },
    }


def _batches(tasks: TaskViews, total: int) -> Batches:
    """Epochs of all tasks; the last epoch ends with the last outer step."""

    def batches(epoch: int) -> list[Callable[[], dict[str, Any]]]:
        order = tasks.order(epoch)[: total - epoch * len(tasks)]
        return [lambda index=index: _as_batch(tasks.draw(index, epoch)) for index in order]  # type: ignore[misc]

    return batches


def _as_batch(task: dict[str, Any]) -> dict[str, Any]:
    """One task as pyiqa's data loader would batch it."""
    batch = {name: value.unsqueeze(0) for name, value in task.items() if isinstance(value, torch.Tensor)}
    learned = {
        collection: {path: [digest] for path, digest in images.items()}
        for collection, images in task["learned"].items()
    }
    return {**batch, "source": torch.tensor([task["source"]]), "learned": learned}
