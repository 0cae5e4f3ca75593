"""`grmp adapt`: learn from a few rated images, and show what they bought."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grmp_plugin.errors import InputError, TrainingInterrupted

from .options import (
    DATA_ROOT,
    ConfigOption,
    DataRootOption,
    Device,
    DeviceOption,
    Format,
    FormatOption,
    ModelOption,
    ResumeOption,
    SeedOption,
    TensorBoardOption,
    check_checkpoint_out,
    config_files,
    find_config,
    leave_interrupted,
    pick_training_device,
    state_file,
    with_options,
)
from .output import json_text, note, print_data, without_nan
from .ratings import (
    DirectionOption,
    ImageColumnOption,
    ImagesOption,
    MosColumnOption,
    RangeOption,
    RawOption,
    ReferenceColumnOption,
    SkipBadOption,
    SplitColumnOption,
    find_ratings,
    is_ratings_file,
    list_skipped,
)

if TYPE_CHECKING:
    from grmp_plugin.data.ratings import Ratings
    from grmp_plugin.network.checkpoint import Checkpoint
    from grmp_plugin.training.few_shot import Adapted, FewShot
    from grmp_plugin.training.settings import AdaptSettings

HELP = (
    "Adapt a model to your ratings: learn from a few rated images, then compare predictions with the "
    "ratings that were not used, before and after.\n\n"
    "RATINGS is a CSV file with the columns image and mos, a pyiqa meta_info file, or a data set that pyiqa "
    "knows (livec, koniq10k, kadid10k, ...). Without it, a demo of drawn pictures with simulated ratings.\n\n"
    "Exit codes: 0 done, 3 done without the ratings that --skip-bad left out, 2 wrong usage, 1 failed.\n\n"
    "Examples: grmp adapt --shots 50 · grmp adapt ratings.csv --shots 50 --out mine.safetensors, and then "
    "grmp score photos/ --model mine.safetensors"
)

_SOME_SKIPPED = 3
_NARROW = 0.25  # share of a declared scale below which ratings look as if on another
# What decides the result, by its name in `run`: a state of another run is not gone on from.
_IDENTITY = (
    *("model", "weights_sha256", "ratings_sha256", "split_column", "settings", "seed", "splits", "device"),
)


def adapt(
    ratings: Annotated[
        str | None,
        typer.Argument(
            metavar="RATINGS",
            help="Ratings file, or the name of a data set; without it, the demo.",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=2, help="Rated images to learn from.", show_default="50")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Keep the adapted model: a .safetensors file.", show_default=False),
    ] = None,
    model: ModelOption = None,
    splits: Annotated[
        int | None,
        typer.Option(
            min=1, help="Repeat with other shots; --out keeps the first split's model.", show_default="1"
        ),
    ] = None,
    seed: SeedOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="own: never looks at test ratings. reference: as the authors' released code, which chooses "
            "the best epoch on them.",
            show_default="own",
        ),
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(help="Of the shots: random, or spread over the ratings.", show_default="random"),
    ] = None,
    images: ImagesOption = None,
    image_column: ImageColumnOption = None,
    mos_column: MosColumnOption = None,
    reference_column: ReferenceColumnOption = None,
    split_column: SplitColumnOption = None,
    lower_better: DirectionOption = None,
    mos_range: RangeOption = None,
    raw: RawOption = False,
    skip_bad: SkipBadOption = False,
    config: ConfigOption = None,
    data_root: DataRootOption = DATA_ROOT,
    device: DeviceOption = Device.auto,
    resume: ResumeOption = False,
    tensorboard: TensorBoardOption = None,
    output_format: FormatOption = Format.table,
) -> None:
    """Adapt a model to ratings (see `HELP`)."""
    check_checkpoint_out(out, resume)
    from grmp_plugin.config import read_yaml
    from grmp_plugin.training.settings import AdaptConfig

    wanted = read_yaml(AdaptConfig, find_config(config, "adapt")) if config else None
    name = ratings or (wanted.data if wanted else None)
    options = {
        "images_folder": images,
        "image_column": image_column,
        "mos_column": mos_column,
        "reference_column": reference_column,
        "lower_better": lower_better,
        "mos_range": mos_range,
        "raw": raw,
        "skip_bad": skip_bad,
    }
    # A mistake in a file is told at once; what follows costs seconds of imports.
    rated = find_ratings(name, data_root, _unseen, **options) if name and is_ratings_file(name) else None
    from grmp_plugin.network.start import start_digest, starting_checkpoint
    from grmp_plugin.training.few_shot import FewShot

    from .progress import ShownProgress

    seed = seed if seed is not None else (wanted.seed if wanted else 0)
    word = model or (wanted.model if wanted else "grmp_iqa-tiny")
    try:
        start = starting_checkpoint(word, seed)
    except InputError as problem:
        if model is not None or config is None:
            raise
        raise InputError(
            f"{problem}; --config {config} names it. Write it with grmp pretrain --out {word}, or name "
            "another with --model"
        ) from problem
    wanted = read_yaml(AdaptConfig, *config_files("adapt", config, start))
    settings = with_options(wanted.training, shots=shots, protocol=protocol, sampling=sampling)
    if mos_range is not None and settings.protocol == "reference":
        raise InputError("--protocol reference always takes the range of the shots: leave --mos-range out")
    used = pick_training_device(device)
    watch = ShownProgress(used, tensorboard)
    started = time.monotonic()
    try:
        with watch.running():
            if rated is None:
                rated = find_ratings(name, data_root, watch.drawing, **options)
            _say_plan(rated, settings, start, out)
            few_shot = FewShot(
                start,
                rated,
                settings,
                device=used,
                watch=watch,
                judge=_plcc_and_srcc,
                skip_bad=skip_bad,
                split_column=split_column,
            )
            run = _describe_run(start, few_shot.ratings, settings, used)
            run |= {"seed": seed, "splits": splits or wanted.splits, "split_column": split_column}
            run |= {"weights_sha256": start_digest(word)}
            done = _adapt_all(few_shot, run, out, resume)
    except TrainingInterrupted as stopped:
        leave_interrupted(stopped, out)
    run |= {"seconds": round(time.monotonic() - started, 1), "out": None if out is None else str(out)}
    skipped = [*rated.skipped, *few_shot.unreadable]
    run |= {"skipped": [dataclasses.asdict(row) for row in skipped]}
    _report(done, few_shot, run, out, output_format)
    if skipped:
        list_skipped(skipped)
    if not all(row.repeated for row in skipped):
        raise typer.Exit(_SOME_SKIPPED)


def _unseen(done: int, total: int) -> None:
    """Progress of what a ratings file does not need."""


def _say_plan(rated: "Ratings", settings: "AdaptSettings", start: "Checkpoint", out: Path | None) -> None:
    groups = ", taken as independent: no column of originals"
    if rated.references is not None:
        groups = f" of {len(set(rated.references))} originals ({rated.references_source})"
    import numpy as np

    note(f"{rated.source}: {len(rated.images)} rated images{groups}; adapting {start.source}")
    if rated.mos_range is not None:
        low, high = rated.mos_range
        if np.ptp(rated.mos) < _NARROW * (high - low):
            note(
                f"the ratings run from {rated.mos.min():.4g} to {rated.mos.max():.4g} only, on a scale of "
                f"{low:g} to {high:g}: is that their scale?"
            )
    if settings.protocol == "reference":
        note(
            "protocol reference: the best epoch is chosen on the test ratings, as in the authors' released "
            "code. Its numbers are optimistic; report those of --protocol own"
        )
    if out is None:
        note("without --out FILE.safetensors the adapted model is not kept, and cannot be resumed")


def _adapt_all(few_shot: "FewShot", run: dict[str, Any], out: Path | None, resume: bool) -> "list[Adapted]":
    """Adapt on all splits, and keep the first one's model."""
    from grmp_plugin.network.checkpoint import write_checkpoint
    from grmp_plugin.training.state import SavedState

    saved = None if out is None else SavedState(state_file(out), {name: run[name] for name in _IDENTITY})
    done: list[Adapted] = []
    for adapted, checkpoint in few_shot.splits(run["seed"], run["splits"], saved=saved, resume=resume):
        done.append(adapted)
        if out is not None and checkpoint is not None and len(done) == 1:
            compared = _compared(adapted, few_shot.ratings)
            info = {**checkpoint.info, "metrics": {k: compared[k] for k in ("before", "after")}}
            write_checkpoint(dataclasses.replace(checkpoint, info=info), out)
    if saved is not None:
        saved.remove()
    return done


def _plcc_and_srcc(scores: Any, quality: Any) -> float:
    from grmp_plugin.statistics.correlation import plcc, srcc

    return plcc(scores, quality) + srcc(scores, quality)


def _describe_run(
    start: "Checkpoint", rated: "Ratings", settings: "AdaptSettings", device: str
) -> dict[str, Any]:
    import torch

    from grmp_plugin.versions import package_versions

    return {
        "command": "adapt",
        "model": start.source,
        "backbone": start.config.backbone.name,
        "data": rated.source,
        "images": len(rated.images),
        "ratings_sha256": rated.digest(),
        "settings": dataclasses.asdict(settings),
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": package_versions(),
    }


def _compared(adapted: "Adapted", rated: "Ratings") -> dict[str, Any]:
    """What a split bought, as plain data: on the test images, and beside it on the shots."""
    from grmp_plugin.statistics.agreement import agreement, paired_difference
    from grmp_plugin.statistics.correlation import srcc

    scale, test = adapted.scale, adapted.split.test
    mos = rated.mos[test]
    groups = None if rated.references is None else [rated.references[i] for i in test]
    before, after = scale.to_mos(adapted.before), scale.to_mos(adapted.after)
    difference, interval = paired_difference(after, before, mos, groups=groups, seed=adapted.seed)
    shots_mos = rated.mos[adapted.split.shots]
    numbers = {
        "difference": {"srcc": difference, "srcc_interval": list(interval)},
        "shots_srcc": {
            "before": srcc(scale.to_mos(adapted.shots_before), shots_mos),
            "after": srcc(scale.to_mos(adapted.shots_after), shots_mos),
        },
        "angle": adapted.angle,
        "projected": adapted.projected,
    }
    return {
        "seed": adapted.seed,
        "shots": len(adapted.split.shots),
        "before": agreement(before, mos, groups, adapted.seed).as_dict(),
        "after": agreement(after, mos, groups, adapted.seed).as_dict(),
        **without_nan(numbers),
        "mos_scale": dataclasses.asdict(scale),
        "skipped_steps": adapted.skipped,
        "not_finite_gradients": adapted.not_finite,
        "moved": adapted.moved,
        "best_epoch": adapted.best_epoch,
        "learned_from": [rated.images[i] for i in adapted.split.shots],
        "tested": [
            {"image": rated.images[i], "mos": mos_, "before": before_, "after": after_}
            for i, mos_, before_, after_ in zip(
                test, mos.tolist(), before.tolist(), after.tolist(), strict=True
            )
        ],
    }


def _report(
    done: "Sequence[Adapted]", few_shot: "FewShot", run: dict[str, Any], out: Path | None, shown: Format
) -> None:
    from .adapt_table import over_splits, print_adaptation, say_verdict

    splits = [_compared(adapted, few_shot.ratings) for adapted in done]
    document = {"run": run, **over_splits(splits), "splits": splits}
    if shown is Format.json:
        print_data(json_text(document) + "\n")
    else:
        print_adaptation(document)
    say_verdict(document)
    if out is not None:
        note(f"written to {out}; now: grmp score photos/ --model {out} --scale mos")
