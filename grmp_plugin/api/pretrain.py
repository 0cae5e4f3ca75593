"""Learn prompts by meta-learning over kinds of distortion, before any ratings of one's own."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grmp_plugin.api.configured import names_configuration
from grmp_plugin.api.trained import TrainedResult
from grmp_plugin.data.learned_images import SECTION
from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.errors import DataUnavailableError, InputError
from grmp_plugin.files import DATA_ROOT
from grmp_plugin.notes import Note
from grmp_plugin.only_run import only_run
from grmp_plugin.printable import counted
from grmp_plugin.progress import ProgressCallback
from grmp_plugin.run_record import RunRecord, Stopwatch
from grmp_plugin.tables import Row
from grmp_plugin.training.checkpoint_file import (
    check_no_input,
    check_out,
    save_checkpoint,
    state_file,
)
from grmp_plugin.training.presets import read_config, with_arguments
from grmp_plugin.training.settings import PretrainConfig
from grmp_plugin.training.watch import Watch, as_watch

if TYPE_CHECKING:
    from grmp_plugin.api.models import Model
    from grmp_plugin.network.checkpoint import Checkpoint
    from grmp_plugin.synthetic.tasks import TaskSource

_COLUMNS = ("outer_step", "support_loss", "query_loss", "prompts_moved")


@dataclass(frozen=True, eq=False, repr=False)
class Pretraining(TrainedResult):
    """A model with pre-trained prompts; `adapt` starts from it.

    The rows are the learning curve, one per outer step: mean losses of its tasks, and how far the prompts
    have moved from their start, relative to their norm there.

    Attributes:
        run: What produced the result.
        checkpoint: The model.
        curve: The learning curve.
        notes: What is worth knowing, such as files of the folder that were not read.
    """

    run: RunRecord
    checkpoint: "Checkpoint"
    curve: tuple[Row, ...]
    notes: tuple[Note, ...] = ()

    @property
    def rows(self) -> Sequence[Row]:
        """The learning curve, one mapping per outer step."""
        return self.curve

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return _COLUMNS

    @property
    def prompts_moved(self) -> float:
        """Distance of the prompts from their start, relative to their norm there."""
        return float(self.checkpoint.info["prompts_moved"])

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `run`, and `prompts` as the checkpoint records them, without the digests of images."""
        prompts = {name: value for name, value in self.checkpoint.info.items() if name != SECTION}
        return {"run": self.run.to_dict(), "prompts": prompts}

    def __repr__(self) -> str:
        steps = self.checkpoint.info["outer_steps"]
        return f"<Pretraining: prompts moved by {self.prompts_moved:.1%} over {counted(steps, 'outer step')}>"


@names_configuration("pretrain")
def pretrain(
    data: str | Sequence[str] | None = None,
    *,
    pristine: str | os.PathLike[str] | None = None,
    model: "Model | None" = None,
    backbone_weights: str | os.PathLike[str] | None = None,
    outer_steps: int | None = None,
    seed: int | None = None,
    protocol: str | None = None,
    config: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: str = "auto",
    data_root: str | os.PathLike[str] = DATA_ROOT,
    progress: bool | ProgressCallback | Watch = False,
) -> Pretraining:
    """Learn prompts over kinds of distortion, each with support and query images.

    Default settings are replaced by those measured for the model's backbone, by those of the protocol, by
    `config`, and by arguments, in this order. The model records what it learned from.

    Args:
        data: Where the tasks come from: `drawn` (scenes, which need no file), or pyiqa's data sets with
            synthetic distortions; `kadid10k` and `tid2013` by default.
        pristine: A folder of pristine images to distort, instead of `data`.
        model: Model whose prompts are replaced: a name, a checkpoint file, a CLIP of open_clip such as
            `ViT-B-16-quickgelu`, or an object that holds a network; `grmp_iqa-tiny` by default.
        backbone_weights: CLIP's weights for a model that lacks them: a tag of open_clip, or a file of
            open_clip or OpenAI; OpenAI's by default.
        outer_steps: Number of outer steps.
        seed: Random seed; 0 by default.
        protocol: `paper` (default) starts each task from the current prompts; `released` chains tasks, as the
            authors' released code does, over all kinds of distortion.
        config: A YAML file, or a preset such as `paper/pretrain`.
        out: A .safetensors file for the model. The state of an interrupted run is kept beside it.
        resume: Whether to continue an interrupted run with the same arguments; needs `out`.
        device: `auto`, `cpu` or `cuda`.
        data_root: Folder of pyiqa's data sets, also where they are downloaded to.
        progress: True for a progress bar, or a function that receives each `Progress`.

    Returns:
        The model and the learning curve.

    Raises:
        InputError: When a source of tasks, a path or an argument cannot be used.
        ImageError: When a pristine image cannot be read or is too small.
        ConfigError: When the configuration or a setting cannot be used.
        DataUnavailableError: When a data set would have to be downloaded and cannot be.
        WeightsUnavailableError: When weights would have to be downloaded and cannot be.
        TrainingError: When training cannot continue, or the saved state belongs to another run.
    """
    clock, watch = Stopwatch(), as_watch(progress)
    file, notes = check_out(out, resume)
    check_no_input(file, model, backbone_weights)
    if data is not None and pristine is not None:
        raise InputError(
            "cannot be combined with other data: both are sources of tasks; give one of them",
            argument="pristine",
        )
    given = read_config(PretrainConfig, config, protocol=protocol)
    check_no_input(file, given.model, given.backbone_weights)
    # These imports take seconds.
    import torch

    from grmp_plugin.api.start import configured_start
    from grmp_plugin.training.device import training_device
    from grmp_plugin.training.meta_prompts import pretrain_prompts
    from grmp_plugin.training.state import SavedState

    seed = with_arguments(given, seed=seed).seed
    weights = given.backbone_weights if backbone_weights is None else os.fspath(backbone_weights)
    start = configured_start(model, given, config, seed, weights)
    merged = read_config(
        PretrainConfig, config, backbone=start.checkpoint.config.backbone.name, protocol=protocol
    )
    settings = with_arguments(merged.training, outer_steps=outer_steps)
    names = [data] if isinstance(data, str) else list(merged.data if data is None else data)
    used = training_device(device)
    sources = _sources(names, seed, pristine, data_root)
    check_no_input(file, *(path for source in sources for path in source.files))
    notes += [Note(line) for source in sources for line in left_out_words(source.left_out)]
    for note in notes:
        watch.note(note)
    watch.begin(_describe(sources, start.checkpoint.source))
    details: dict[str, Any] = {
        "model": start.checkpoint.source,
        "weights_sha256": start.sha256,
        "backbone_weights": weights,
        "prompts": given.prompts.given,
        "backbone": start.checkpoint.config.backbone.name,
        "data": names if pristine is None else [os.fspath(pristine)],
        "settings": dataclasses.asdict(settings),
    }
    saved = None if file is None else SavedState(state_file(file), {"seed": seed, "device": used, **details})
    log: list[dict[str, float]] = []
    with only_run(file):
        checkpoint = pretrain_prompts(
            start.checkpoint,
            sources,
            settings,
            prompts=given.prompts,
            seed=seed,
            device=used,
            watch=watch,
            saved=saved,
            resume=resume,
            log=log,
        )
        source = f"{start.checkpoint.source} with pre-trained prompts" if file is None else str(file)
        checkpoint = dataclasses.replace(checkpoint, source=source)
        if file is not None and saved is not None:
            save_checkpoint(checkpoint, file)
            saved.remove()
    details |= {"threads": torch.get_num_threads(), "out": None if file is None else str(file)}
    return Pretraining(
        run=RunRecord("pretrain", clock.date, used, seed, clock.seconds, details),
        checkpoint=checkpoint,
        curve=_learning_curve(log, settings.tasks_per_step),
        notes=tuple(notes),
    )


def _sources(
    names: Sequence[str], seed: int, pristine: str | os.PathLike[str] | None, data_root: Any
) -> "list[TaskSource]":
    from grmp_plugin.training.task_sources import task_sources

    try:
        return task_sources(names, seed=seed, pristine=pristine, data_root=data_root)
    except DataUnavailableError as error:
        raise DataUnavailableError(error.message, see=(*error.see, "pristine")) from error


def _describe(sources: "Sequence[TaskSource]", start: str) -> str:
    kinds = sum(len(source.distortions) for source in sources)
    listed = ", ".join(source.name for source in sources)
    return f"{listed}: {kinds} distortions. Learning prompts for {start}"


def _learning_curve(log: Sequence[dict[str, float]], tasks_per_step: int) -> tuple[Row, ...]:
    """Rows from the losses of all tasks."""
    rows: list[Row] = []
    for number in range(len(log) // tasks_per_step):
        tasks = log[number * tasks_per_step : (number + 1) * tasks_per_step]
        values = (
            number + 1,
            sum(task["l_support"] for task in tasks) / tasks_per_step,
            sum(task["l_query"] for task in tasks) / tasks_per_step,
            tasks[-1]["moved"],
        )
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return tuple(rows)
