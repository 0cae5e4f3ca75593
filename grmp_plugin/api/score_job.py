"""Scoring into a folder of parts, or a Parquet file by way of one: what is done is kept and gone on with."""

import json
import os
import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmp_plugin.api.judge import Judge
from grmp_plugin.api.saved_scores import SavedScores
from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT
from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.data.places import CHECKS
from grmp_plugin.data.units import Units
from grmp_plugin.errors import InputError
from grmp_plugin.jobs.folder import JobFolder
from grmp_plugin.jobs.parts import Parts
from grmp_plugin.jobs.rows import merge_parts, read_merged
from grmp_plugin.plain_data import shown
from grmp_plugin.progress import Progress, ProgressCallback, progress_callback
from grmp_plugin.run_record import RunRecord, Stopwatch
from grmp_plugin.shard import Shard
from grmp_plugin.tables import TABLE_SUFFIXES, check_file_path, check_not_input

if TYPE_CHECKING:
    from grmp_plugin.api.images import Images
    from grmp_plugin.api.models import Model
    from grmp_plugin.jobs.on_ray import RayOptions
    from grmp_plugin.jobs.rows import Finished, JobRow
    from grmp_plugin.jobs.work import Work

ENGINES = ("local", "ray")
FILE_SUFFIX = ".parquet"
# What a file records of its run, and must be the same for it to be what would be scored now.
_SAME_IN_FILE = ("backbone", "weights_sha256", "precision", "scale")


class ScoreJob:
    """A run of `score` that writes its rows as they come.

    Args:
        images: Paths, folders, patterns, addresses and lists; see `Units`.
        out: A folder, or a .parquet file.
        model, scale, mos_range, device, precision, batch_size, recursive, pixel_limit, resume, shard, check,
            image_column, engine, ray_address, workers: As for `score`, which lists the errors, too.
    """

    def __init__(
        self,
        images: "Images",
        out: str | os.PathLike[str],
        model: "Model" = "grmp_iqa-tiny",
        *,
        scale: str = "quality",
        mos_range: tuple[float, float] | None = None,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        recursive: bool = True,
        pixel_limit: int = DEFAULT_PIXEL_LIMIT,
        resume: bool = False,
        shard: tuple[int, int] = (0, 1),
        check: str = "time",
        image_column: str | None = None,
        engine: str = "local",
        ray_address: str | None = None,
        workers: int | None = None,
    ) -> None:
        self._out = Path(out)
        self._resume = resume
        self._check = check
        self._shard = Shard(*shard)
        suffix = self._out.suffix.lower()
        self._one_file = suffix == FILE_SUFFIX
        self._ray = _ray_options(engine, ray_address, workers, device)
        if suffix in TABLE_SUFFIXES and not self._one_file:
            raise InputError(
                f"{out}: rows are written as they come into a folder or a {FILE_SUFFIX} file only; for other "
                "files write the result",
                argument="out",
            )
        if check not in CHECKS:
            raise InputError(f"'{check}' is none of {', '.join(CHECKS)}", argument="check")
        if self._one_file:
            check_file_path(self._out, "out")
            if self._shard.count > 1:
                raise InputError("shards are written into one folder; name a folder", argument="out")
        arguments = _paths(images)
        self._units = Units(arguments, image_column=image_column, recursive=recursive)
        # Before the model is loaded, and before the folder looks like that of a job.
        if next(iter(self._units), None) is None:
            left_out = "; ".join(left_out_words(self._units.left_out))
            raise InputError(f"no images that can be scored: {left_out}", argument="images")
        if self._one_file:
            read = [model] if isinstance(model, str | os.PathLike) else []
            found = (unit.place.name for unit in self._units)
            check_not_input(self._out, chain(read, arguments, found), "out")
        self._judge = Judge(
            model,
            scale=scale,
            mos_range=mos_range,
            # On Ray the workers have the devices.
            device="cpu" if self._ray else device,
            precision="fp16" if self._ray and self._ray.on_gpu and precision == "auto" else precision,
            batch_size=batch_size,
            pixel_limit=pixel_limit,
        )
        self._identity = _identifying(self._judge)
        settings = {
            **self._identity,
            "images": arguments,
            "image_column": image_column,
            "recursive": recursive,
            "pixel_limit": pixel_limit,
            "check": check,
        }
        self._folder = JobFolder(self._parts_folder, self._shard, settings)
        self._watch = Stopwatch()
        self.done = 0
        """How many images have their row so far."""

    @property
    def _parts_folder(self) -> Path:
        return self._out.with_name(f"{self._out.name}.parts") if self._one_file else self._out

    def run(self, progress: bool | ProgressCallback = False) -> SavedScores:
        """Score what is not done; what is done stays, however this ends.

        Args:
            progress: True for a progress bar, or a function to call with each `Progress`.
        """
        from grmp_plugin.jobs.work import Work

        if self._one_file and self._resume and self._out.is_file() and not self._parts_folder.exists():
            return self._complete_before()
        with self._folder.writing(resume=self._resume) as parts:
            work = Work(self._units, parts, self._shard, self._check)
            before = self.done = work.done.rows
            try:
                self._score(work, parts, progress_callback(progress))
            finally:
                parts.close()
            record = self._record(work.done.rows, work.done.failed)
            if self._one_file:
                merge_parts(parts.paths(), self._out, record.to_dict())
            else:
                self._folder.finish(record.to_dict())
        if self._one_file:
            shutil.rmtree(self._parts_folder)
        damaged = tuple(path.name for path in self._folder.damaged)
        return self._saved(record, work.done.rows - before, work.changed, damaged)

    def _score(self, work: "Work", parts: Parts, report: ProgressCallback) -> None:
        from grmp_plugin.jobs.rows import JobRow

        with closing(self._entries(work)) as entries:
            for entry in entries:
                parts.add(entry)
                work.done.count(entry)
                if isinstance(entry, JobRow):
                    self.done += 1
                    report(Progress("scoring", self.done, max(self.done, work.files)))

    def _entries(self, work: "Work") -> "Generator[JobRow | Finished, None, None]":
        scorer, scale = self._judge.scorer, self._judge.scale
        if self._ray is None:
            from grmp_plugin.jobs.work import score_here

            return score_here(work.pending(), scorer, scale)
        from grmp_plugin.jobs.on_ray import score_on_ray

        options = replace(
            scorer.options,
            device="cuda" if self._ray.on_gpu else "cpu",
            precision=scorer.precision,
            threads=1,
        )
        return score_on_ray(work, scorer.network, options, scale, self._ray)

    def _complete_before(self) -> SavedScores:
        """What the file holds, if it is what would be scored now."""
        from grmp_plugin.jobs.work import files_without_row

        images, failed, run = read_merged(self._out)
        for name, now in json.loads(json.dumps(self._identity)).items():
            if name in _SAME_IN_FILE and run.get(name) != now:
                raise InputError(
                    f"{self._out} was written with {name} {shown(run.get(name))}, not {shown(now)}; name "
                    "another file",
                    argument="out",
                )
        if missing := files_without_row(self._units, images):
            raise InputError(
                f"{self._out} is complete, but lacks {len(missing)} images that are there now, such as "
                f"{missing[0]}; name another file for these",
                argument="out",
            )
        return self._saved(self._record(len(images), failed), 0, 0, ())

    def _record(self, images: int, failed: int) -> RunRecord:
        summary: dict[str, Any] = {"images": images, "failed": failed}
        # Also of a network in memory, so that the file can be told from one of another network.
        summary["weights_sha256"] = self._identity["weights_sha256"]
        if self._units.left_out:
            summary["left_out"] = dict(self._units.left_out)
        return self._judge.record(self._watch, summary)

    def _saved(self, record: RunRecord, scored: int, changed: int, damaged: tuple[str, ...]) -> SavedScores:
        return SavedScores(
            path=self._out,
            run=record,
            images=record.details["images"],
            failed=record.details["failed"],
            scored=scored,
            changed=changed,
            damaged=damaged,
            left_out=dict(self._units.left_out),
        )


def _identifying(judge: Judge) -> dict[str, Any]:
    """What must be the same for two rows to be comparable."""
    from grmp_plugin.network.digest import network_digest

    details = judge.details()
    if details["weights_sha256"] is None:  # a network in memory
        details["weights_sha256"] = network_digest(judge.model.network)
    del details["preprocess"]  # belongs to the weights
    return details


def _ray_options(engine: str, address: str | None, workers: int | None, device: str) -> "RayOptions | None":
    if engine not in ENGINES:
        raise InputError(f"'{engine}' is none of {', '.join(ENGINES)}", argument="engine")
    if engine == "local":
        for name, given in (("ray_address", address), ("workers", workers)):
            if given is not None:
                raise InputError("is for the engine ray", argument=name)
        return None
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"'{device}': on Ray each worker has the CPU, or a GPU with cuda", argument="device")
    if workers is not None and workers < 1:
        raise InputError(f"must be at least 1, not {workers}", argument="workers")
    from grmp_plugin.jobs.on_ray import RayOptions

    return RayOptions(address, workers, on_gpu=device == "cuda")


def _paths(images: "Images") -> list[str]:
    given = [images] if isinstance(images, str | os.PathLike) else images
    if not isinstance(given, list | tuple) or not all(isinstance(one, str | os.PathLike) for one in given):
        raise InputError(
            "scores are written as they come for paths and addresses only; score arrays and Pillow images "
            "without it, and write the result",
            argument="out",
        )
    if not given:
        raise InputError("no images given", argument="images")
    return [os.fsdecode(one) for one in given if isinstance(one, str | os.PathLike)]
