"""`grmp pretrain`: learn prompts over kinds of distortion, before any ratings of one's own."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from grmp_plugin.errors import DataUnavailableError, InputError, TrainingInterrupted

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
from .output import json_text, note, print_data

HELP = (
    "Learn prompts by meta-learning over kinds of distortion: support and query images of one kind after "
    "another. The result is what grmp adapt starts from.\n\n"
    "Tasks come from data sets of pyiqa with synthetic distortions (kadid10k, tid2013: the paper's, and the "
    "default), from a folder of pristine images, or from drawn scenes, which need no file.\n\n"
    "Examples: grmp pretrain --data drawn --out prompts.safetensors · grmp pretrain --pristine photos/ "
    "--out prompts.safetensors, and then grmp adapt ratings.csv --model prompts.safetensors"
)


def pretrain(
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint to write, .safetensors.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="A data set of pyiqa (kadid10k, tid2013), or drawn; may be given several times.",
            show_default="kadid10k, tid2013",
        ),
    ] = None,
    pristine: Annotated[
        Path | None,
        typer.Option(help="A folder of pristine images, distorted on the fly.", show_default=False),
    ] = None,
    model: ModelOption = None,
    outer_steps: Annotated[
        int | None, typer.Option(min=1, help="How long to train.", show_default="the settings'")
    ] = None,
    seed: SeedOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="paper: each task starts from the current prompts. reference: tasks chain, as in the "
            "authors' released code.",
            show_default="paper",
        ),
    ] = None,
    config: ConfigOption = None,
    data_root: DataRootOption = DATA_ROOT,
    device: DeviceOption = Device.auto,
    resume: ResumeOption = False,
    tensorboard: TensorBoardOption = None,
    output_format: FormatOption = Format.table,
) -> None:
    """Learn prompts over kinds of distortion (see `HELP`)."""
    check_checkpoint_out(out, resume)
    if data and pristine:
        raise InputError("--data and --pristine are two sources of tasks: give one of them")
    # Only now, as it costs seconds.
    import torch

    from grmp_plugin.config import read_yaml
    from grmp_plugin.network.checkpoint import write_checkpoint
    from grmp_plugin.network.start import start_digest, starting_checkpoint
    from grmp_plugin.training.meta_prompts import pretrain_prompts
    from grmp_plugin.training.settings import PretrainConfig
    from grmp_plugin.training.state import SavedState
    from grmp_plugin.training.task_sources import task_sources
    from grmp_plugin.versions import package_versions

    from .progress import ShownProgress

    wanted = read_yaml(PretrainConfig, find_config(config, "pretrain")) if config else None
    seed = seed if seed is not None else (wanted.seed if wanted else 0)
    word = model or (wanted.model if wanted else "grmp_iqa-tiny")
    start = starting_checkpoint(word, seed)
    wanted = read_yaml(PretrainConfig, *config_files("pretrain", config, start))
    settings = with_options(wanted.training, outer_steps=outer_steps, protocol=protocol)
    names = data or list(wanted.data)
    used = pick_training_device(device)
    try:
        sources = task_sources(names, seed=seed, pristine=pristine, data_root=data_root)
    except DataUnavailableError as problem:
        raise DataUnavailableError(
            f"{problem}. Without a download: --data drawn, or --pristine FOLDER"
        ) from problem
    kinds = sum(len(source.distortions) for source in sources)
    listed = ", ".join(source.name for source in sources)
    note(f"{listed}: {kinds} distortions; learning prompts for {start.source}")
    run: dict[str, Any] = {
        "command": "pretrain",
        "model": start.source,
        "weights_sha256": start_digest(word),
        "backbone": start.config.backbone.name,
        "data": names if pristine is None else [str(pristine)],
        "settings": dataclasses.asdict(settings),
        "seed": seed,
        "device": used,
    }
    saved = SavedState(state_file(out), run)
    watch = ShownProgress(used, tensorboard, unit="task")
    started = time.monotonic()
    try:
        with watch.running():
            checkpoint = pretrain_prompts(
                start, sources, settings, seed=seed, device=used, watch=watch, saved=saved, resume=resume
            )
    except TrainingInterrupted as stopped:
        leave_interrupted(stopped, out)
    write_checkpoint(checkpoint, out)
    saved.remove()
    run |= {
        "seconds": round(time.monotonic() - started, 1),
        "threads": torch.get_num_threads(),
        "versions": package_versions(),
    }
    moved = checkpoint.info["prompts_moved"]
    if output_format is Format.json:
        print_data(json_text({"run": run, "prompts": dict(checkpoint.info)}) + "\n")
    else:
        print_data(f"prompts moved by {moved:.1%} of their norm over {settings.outer_steps} outer steps\n")
    note(f"written to {out}; now: grmp adapt ratings.csv --model {out}")
