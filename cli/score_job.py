"""`grmp score --out FOLDER` and `--out FILE.parquet`: rows that are written as they come."""

import enum
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer

from grmp_plugin.errors import InputError
from grmp_plugin.tables import TABLE_SUFFIXES

from .bars import progress_bar
from .options import parsed_shard
from .output import error, note
from .signals import exit_code, termination_as_interrupt

if TYPE_CHECKING:
    from grmp_plugin.api.saved_scores import SavedScores
    from grmp_plugin.api.score_job import ScoreJob

_PANEL = "Large jobs (--out FOLDER)"
_PARQUET = ".parquet"


class Check(str, enum.Enum):
    """How a file that has changed is known."""

    time = "time"
    digest = "digest"


class Engine(str, enum.Enum):
    """What runs the job."""

    local = "local"
    ray = "ray"


ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue where the same command stopped; changed images are scored again.",
        rich_help_panel=_PANEL,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Score share I of N, from 0/N; all shares write into one folder.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
CheckOption = Annotated[
    Check,
    typer.Option(
        help="What --resume compares: size and time of a file, or the digest of its content.",
        rich_help_panel=_PANEL,
    ),
]
ImageColumnOption = Annotated[
    str | None,
    typer.Option(
        help="Column of the images in CSV and Parquet files. [dim]default: found by the usual names[/]",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]

EngineOption = Annotated[
    Engine,
    typer.Option(help="ray: a pool of workers on Ray; needs the extra ray.", rich_help_panel=_PANEL),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        help="With --engine ray: a cluster. [dim]default: Ray is started on this machine[/]",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="With --engine ray: number of workers. [dim]default: one per CPU; with --device cuda per GPU[/]",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


class JobOptions(NamedTuple):
    """Values of the options of large jobs."""

    resume: bool
    shard: str | None
    check: Check
    image_column: str | None
    engine: Engine
    ray_address: str | None
    workers: int | None


def is_job(out: Path, all_rows: Mapping[str, object]) -> bool:
    """Whether rows are written as they come.

    Args:
        out: Value of --out.
        all_rows: Options that need all rows at once, by argument; false where not used.
    """
    alone = not any(all_rows.values())
    return _is_folder(out) or (out.suffix.lower() == _PARQUET and alone)


def check_options(options: JobOptions, out: Path | None, all_rows: Mapping[str, object]) -> None:
    """Refuse options that do not go together with how the rows are written.

    Raises:
        InputError: For the first one that does not.
    """
    unused = JobOptions(False, None, Check.time, None, Engine.local, None, None)
    if out is None or not is_job(out, all_rows):
        for name in JobOptions._fields:
            if getattr(options, name) != getattr(unused, name):
                raise InputError(
                    "needs rows that are written as they come: --out FOLDER, or --out FILE.parquet without "
                    "--format, --sort, --report, --maps and --interval",
                    argument=name,
                )
    elif _is_folder(out):
        for name, used in all_rows.items():
            if used:
                raise InputError(
                    f"not with a folder; write one file ({', '.join(TABLE_SUFFIXES)})", argument=name
                )


def run_job(
    paths: list[str],
    out: Path,
    model: str,
    options: JobOptions,
    *,
    recursive: bool,
    judging: Mapping[str, Any],
) -> int:
    """Score into parts with a progress bar, and say what came of it; Ctrl-C and SIGTERM keep what is done.

    Returns:
        How many images have no score.
    """
    # Not before: it imports numpy and torch.
    from grmp_plugin.api.score_job import ScoreJob

    job = ScoreJob(
        paths,
        out,
        model,
        recursive=recursive,
        resume=options.resume,
        shard=parsed_shard(options.shard),
        check=options.check.value,
        image_column=options.image_column,
        engine=options.engine.value,
        ray_address=options.ray_address,
        workers=options.workers,
        **judging,
    )
    with termination_as_interrupt():
        try:
            with progress_bar() as bar:
                saved = job.run(bar)
        except KeyboardInterrupt as stopped:
            _leave_interrupted(job, exit_code(stopped))
    _say(saved, out)
    return saved.failed


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def _leave_interrupted(job: "ScoreJob", code: int) -> NoReturn:
    error(f"interrupted after {job.done} images. Continue with the same command and --resume")
    sys.exit(code)


def _say(saved: "SavedScores", out: Path) -> None:
    from grmp_plugin.data.left_out import left_out_words

    for part in saved.damaged:
        note(f"{part} was damaged; its images were scored again")
    if saved.changed:
        note(f"{saved.changed} had changed, or could not be read before, and were tried again")
    plural = "" if saved.images == 1 else "s"
    text = f"{saved.images} image{plural}, {saved.failed} failed"
    if saved.scored != saved.images:
        text += f"; {saved.scored} scored now"
    note(text)
    for line in left_out_words(saved.left_out):
        note(line)
    note(f"written to {out}")
