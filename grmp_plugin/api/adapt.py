"""Adapt a model to ratings: few shots to learn from, all other ratings to test on."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from grmp_plugin.api.adapt_notes import (
    describe,
    notes_after,
    notes_before,
    notes_on_copies,
    notes_on_learned,
)
from grmp_plugin.api.adaptation import Adaptation
from grmp_plugin.api.configured import names_configuration
from grmp_plugin.api.keywords import takes_ratings_options
from grmp_plugin.api.ratings import DEMO, about_demo, as_ratings, is_ratings_file
from grmp_plugin.api.split_result import SplitResult, split_result
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import RatingsOptions
from grmp_plugin.errors import InputError
from grmp_plugin.files import DATA_ROOT, existing
from grmp_plugin.notes import Note
from grmp_plugin.only_run import only_run
from grmp_plugin.progress import ProgressCallback
from grmp_plugin.run_record import RunRecord, Stopwatch
from grmp_plugin.tables import check_not_input
from grmp_plugin.training.checkpoint_file import (
    check_no_input,
    check_out,
    check_written,
    save_checkpoint,
    state_file,
)
from grmp_plugin.training.presets import read_config, with_arguments
from grmp_plugin.training.settings import AdaptConfig, AdaptSettings
from grmp_plugin.training.watch import Watch, as_watch

if TYPE_CHECKING:
    import pandas

    from grmp_plugin.api.models import Model
    from grmp_plugin.api.start import Start
    from grmp_plugin.network.checkpoint import Checkpoint
    from grmp_plugin.training.few_shot import FewShot

__all__ = ["Adaptation", "adapt"]

# Details of a run that decide its result: only a state with the same ones is resumed.
_IDENTITY = (
    *("model", "weights_sha256", "backbone_weights", "prompts"),
    *("ratings_sha256", "split_column", "settings", "splits"),
)


@takes_ratings_options
@names_configuration("adapt")
def adapt(
    ratings: "str | os.PathLike[str] | pandas.DataFrame | Ratings | None" = None,
    shots: int | None = None,
    model: "Model | None" = None,
    *,
    backbone_weights: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    splits: int | None = None,
    seed: int | None = None,
    config: str | os.PathLike[str] | None = None,
    method: str | None = None,
    strength: float | None = None,
    learning_rate: float | None = None,
    epochs: int | None = None,
    precision: str | None = None,
    protocol: str | None = None,
    sampling: str | None = None,
    split_column: str | None = None,
    split_by: str | None = None,
    include_learned: bool = False,
    device: str = "auto",
    resume: bool = False,
    data_root: str | os.PathLike[str] = DATA_ROOT,
    progress: bool | ProgressCallback | Watch = False,
    **options: Unpack[RatingsOptions],
) -> Adaptation:
    """Adapt a model to ratings, and compare its predictions with the unused ratings before and after.

    Default settings are replaced by the preset of the model's backbone, by those of the protocol, by
    `config`, and by arguments, in this order.

    Images that the model has learned from before are left out, and so are other versions of their originals:
    they would make it look better than it is. The adapted model records what it learned from.

    Args:
        ratings: A ratings file, a data frame, the name of one of pyiqa's data sets, or `demo` (default):
            drawn pictures rated by a simulated observer.
        shots: Number of rated images to learn from; 50 by default.
        model: Model to adapt: a name, a checkpoint file, a CLIP of open_clip such as `ViT-B-16-quickgelu`, or
            what `pretrain` or `adapt` returned; `grmp_iqa-tiny` by default.
        backbone_weights: CLIP's weights for a model that lacks them, such as a CLIP of open_clip or the
            authors' pre-training files: a tag of open_clip, or a file of open_clip or OpenAI; OpenAI's by
            default.
        out: A .safetensors file for the adapted model. The state of an interrupted run is kept beside it.
        splits: Number of splits, each with other shots; 1 by default.
        seed: Random seed of the first split; each further split adds 1. 0 by default.
        config: A YAML file, or a preset such as `paper/livec`.
        method: `auto` (default) chooses by cross-validation inside the shots between the model as it was,
            ridge regression, gradient steps, and both together; `prompts` takes gradient steps on prompts and
            last blocks, as published; `ridge` fits a linear head to the frozen features.
        strength: Lambda, the strength of the gradient regularization; 0 for none.
        learning_rate: Learning rate of the gradient steps; `auto` tries five times as much, too.
        epochs: Passes over the shots; `auto` tries half as many, too.
        precision: Precision of the gradient steps: `fp32` (default), or `bf16` or `fp16` for a GPU. Method
            `ridge` takes no such steps, and refuses these four.
        protocol: `own` (default) never uses test ratings; `released` chooses the best epoch on them, as the
            authors' released code does, out of up to 2000, and tests a fifth of the images.
        sampling: How to draw the shots: `random` (default), or `spread` over the MOS range.
        split_column: Column that says `train` or `test`; shots are drawn from the train rows.
        split_by: `reference` (default) keeps versions of one original on one side; `image`, with protocol
            `released` only, does not, as the authors' released code.
        include_learned: Whether to use images that the model learned from before.
        device: `auto`, `cpu` or `cuda`.
        resume: Whether to continue an interrupted run with the same arguments; needs `out`.
        data_root: Folder of pyiqa's data sets, also where they are downloaded to.
        progress: True for a progress bar, or a function that receives each `Progress`.
        **options: How to read the ratings; see `RatingsOptions`.

    Returns:
        The adapted model, and its agreement with the test ratings before and after.

    Raises:
        InputError: When the ratings, a path or an argument cannot be used.
        ConfigError: When the configuration or a setting cannot be used.
        DataUnavailableError: When a data set would have to be downloaded and cannot be.
        WeightsUnavailableError: When weights would have to be downloaded and cannot be.
        TrainingError: When training cannot continue, or the saved state belongs to another run.
    """
    clock, watch = Stopwatch(), as_watch(progress)
    file, notes = check_out(out, resume)
    check_no_input(file, ratings, model, backbone_weights)
    given = read_config(AdaptConfig, config, protocol=protocol)
    check_no_input(file, given.model, given.data, given.backbone_weights)
    wanted = given.data or DEMO if ratings is None else ratings
    # A mistake in a file or data frame is reported before the imports below, which take seconds.
    at_once = not isinstance(wanted, str) or is_ratings_file(wanted)
    named_by = config if ratings is None and given.data is not None else None
    rated = _ratings(wanted, named_by, **options) if at_once else None
    from grmp_plugin.api.start import configured_start
    from grmp_plugin.training.device import training_device
    from grmp_plugin.training.few_shot import FewShot

    seed = with_arguments(given, seed=seed).seed
    weights = given.backbone_weights if backbone_weights is None else os.fspath(backbone_weights)
    start = configured_start(model, given, config, seed, weights)
    merged = read_config(
        AdaptConfig, config, backbone=start.checkpoint.config.backbone.name, protocol=protocol
    )
    settings = with_arguments(
        merged.training,
        shots=shots,
        sampling=sampling,
        split_by=split_by,
        method=method,
        strength=strength,
        learning_rate=learning_rate,
        epochs=epochs,
        precision=precision,
    )
    if settings.method == "ridge":
        given_steps = {
            "strength": strength,
            "learning_rate": learning_rate,
            "epochs": epochs,
            "precision": precision,
        }
        for name, value in given_steps.items():
            if value is not None:
                raise InputError("applies to gradient steps, which method ridge does not take", argument=name)
    if settings.protocol == "released" and settings.test_share is None and split_column is None:
        settings = with_arguments(settings, test_share=AdaptSettings.RELEASED_TEST_SHARE)
    if options.get("mos_range") is not None and settings.protocol == "released":
        raise InputError(
            "not used by protocol released, whose scale is the range of the shots", argument="mos_range"
        )
    used = training_device(device)
    if isinstance(wanted, str) and wanted == DEMO:
        notes.append(about_demo(is_default=ratings is None))
    _pass_on(notes, watch)
    if rated is None:
        rated = _ratings(wanted, named_by, data_root=data_root, report=watch.progress, **options)
    check_not_input(file, rated.images, "out")
    watch.begin(describe(rated, start.checkpoint.source))
    _pass_on(about_ratings := notes_before(rated, settings, split_column), watch)
    few_shot = FewShot(
        start.checkpoint,
        rated,
        settings,
        device=used,
        watch=watch,
        skip_bad=bool(options.get("skip_bad")),
        split_column=split_column,
        include_learned=include_learned,
    )
    _pass_on(
        about_learned := notes_on_learned(few_shot.learned, start.checkpoint.source, include_learned), watch
    )
    details = {
        **_details(start, few_shot.ratings, settings),
        "backbone_weights": weights,
        "prompts": given.prompts.given,
        "splits": with_arguments(merged, splits=splits).splits,
        "split_column": split_column,
        "learned_before": {"images": few_shot.learned, "used": include_learned},
    }
    with only_run(file):
        results, checkpoint = _adapt_all(few_shot, details, used, seed, file, resume)
    _pass_on(about_copies := notes_on_copies(few_shot.copies, len(results)), watch)
    skipped = (*rated.skipped, *few_shot.unreadable)
    details |= {
        "out": None if file is None else str(file),
        "skipped": [dataclasses.asdict(row) for row in skipped],
    }
    return Adaptation(
        run=RunRecord("adapt", clock.date, used, seed, clock.seconds, details),
        splits=results,
        checkpoint=checkpoint,
        notes=(*notes, *about_ratings, *about_learned, *about_copies, *notes_after(results, rated)),
        skipped=skipped,
    )


def _ratings(wanted: Any, config: str | os.PathLike[str] | None, **options: Any) -> Ratings:
    """The ratings that a caller means, or else those that a configuration names; errors say if it does."""
    try:
        return as_ratings(wanted, **options)
    except InputError as error:
        if config is None or error.argument is not None or existing(wanted) is not None:
            raise
        raise InputError(
            f"{error.message}; the configuration {os.fspath(config)} names it", see=error.see
        ) from error


def _pass_on(notes: Iterable[Note], watch: Watch) -> None:
    for note in notes:
        watch.note(note)


def _details(start: "Start", rated: Ratings, settings: AdaptSettings) -> dict[str, Any]:
    """Details of the run's record."""
    import torch

    return {
        "model": start.checkpoint.source,
        "weights_sha256": start.sha256,
        "backbone": start.checkpoint.config.backbone.name,
        "data": rated.source,
        "images": len(rated.images),
        "ratings_sha256": rated.digest(),
        "settings": dataclasses.asdict(settings),
        "threads": torch.get_num_threads(),
    }


def _adapt_all(
    few_shot: "FewShot", details: dict[str, Any], device: str, seed: int, file: Path | None, resume: bool
) -> tuple[tuple[SplitResult, ...], "Checkpoint"]:
    """Adapt on all splits, and keep the first one's model."""
    from grmp_plugin.network.checkpoint import read_checkpoint
    from grmp_plugin.training.state import SavedState

    identity = {"seed": seed, "device": device, **{name: details[name] for name in _IDENTITY}}
    saved = None if file is None else SavedState(state_file(file), identity)
    results: list[SplitResult] = []
    kept: Checkpoint | None = None
    for adapted, checkpoint in few_shot.splits(seed, details["splits"], saved=saved, resume=resume):
        result = split_result(adapted, few_shot.ratings)
        if checkpoint is not None and not results:
            metrics = {"before": result.before.as_dict(), "after": result.after.as_dict()}
            source = f"{details['model']} adapted to {details['data']}" if file is None else str(file)
            info = {**checkpoint.info, "metrics": metrics}
            kept = dataclasses.replace(checkpoint, info=info, source=source)
            if saved is not None and file is not None:
                saved.written = save_checkpoint(kept, file)
        elif saved is not None and file is not None and not results:
            check_written(file, saved.written)
        results.append(result)
    # Written before the interruption, if the first split was complete by then.
    kept = read_checkpoint(str(file)) if kept is None else kept
    if saved is not None and file is not None:
        check_written(file, saved.written)
        saved.remove()
    return tuple(results), kept
