"""Scoring on Ray: a pool of actors with one scorer each, which open and decode the images themselves.

What goes to the workers is where the images are, never their pixels. The driver writes the rows, so that a
job on Ray has the same folder as any other; what a lost actor had under way is done again by another one.
"""

import importlib.util
import logging
import os
import pickle
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from grmp_plugin.data.places import LocalPlace
from grmp_plugin.data.ratings import MosScale
from grmp_plugin.data.units import Unit
from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
from grmp_plugin.jobs.done import key
from grmp_plugin.jobs.rows import UNREAD, Finished, JobRow, rows_table
from grmp_plugin.jobs.work import Work, score_here, unit_work
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.tables import plain_text

# Units of one run of Ray Data: what bounds the memory of the driver.
_UNITS_AT_ONCE = 100_000
# Units of a task, whose rows come together: what is lost when the driver is killed, a few seconds of work.
_PER_TASK, _PER_TASK_ON_GPU = 16, 64
_ROWS_AT_ONCE = 64
_TASKS_PER_WORKER = 8  # at least, so that no worker is left waiting for the last one


@dataclass(frozen=True)
class RayOptions:
    """Where and how Ray runs.

    Attributes:
        address: Of a cluster, as `ray.init` takes it; None starts Ray on this machine.
        workers: Actors; None for one per CPU, or per GPU.
        on_gpu: Give each actor a GPU.
    """

    address: str | None = None
    workers: int | None = None
    on_gpu: bool = False


def score_on_ray(
    work: Work, network: GRMPIQA, scoring: ScoringOptions, scale: MosScale | None, options: RayOptions
) -> Generator[JobRow | Finished, None, None]:
    """Score what is left of a job; rows come in any order, each once.

    Args:
        work: What is left to do.
        network: On the CPU.
        scoring: For the scorer of each actor.
        scale: Of predicted MOS; None for quality from 0 to 1.
        options: Where and how Ray runs.

    Raises:
        GRMPError: Without the package, or when Ray cannot be reached.
    """
    if importlib.util.find_spec("ray") is None:
        raise GRMPError("the engine ray needs Ray: pip install 'grmp-iqa[ray]'")
    with _running(options) as ray:
        resource = "GPU" if options.on_gpu else "CPU"
        available = int(ray.cluster_resources().get(resource, 0))
        workers = options.workers or available
        if available < max(1, workers):
            raise InputError(f"{workers} wanted, but Ray has {available} {resource}s", argument="workers")
        arguments = {"network": [ray.put(network)], "scoring": scoring, "scale": scale}
        remaining = iter(work.units())
        while units := list(islice(remaining, _UNITS_AT_ONCE)):
            yield from _score_units(ray, units, arguments, workers, options.on_gpu, work)


def _score_units(
    ray: Any,
    units: list[tuple[Unit, str]],
    arguments: dict[str, Any],
    workers: int,
    on_gpu: bool,
    work: Work,
) -> Iterator[JobRow | Finished]:
    import pyarrow

    most = _PER_TASK_ON_GPU if on_gpu else _PER_TASK
    size = max(1, min(most, len(units) // (workers * _TASKS_PER_WORKER)))
    pickled = [pickle.dumps((_absolute(unit), version)) for unit, version in units]
    blocks = [
        pyarrow.table({"unit": pickled[start : start + size]}) for start in range(0, len(pickled), size)
    ]
    rows = ray.data.from_arrow(blocks).map_batches(
        _Worker,
        compute=ray.data.ActorPoolStrategy(size=workers),
        batch_size=size,
        batch_format="pyarrow",
        fn_constructor_kwargs=arguments,
        num_cpus=1,
        num_gpus=1 if on_gpu else None,
    )
    # Ray Data starts a lost actor again, which does again what it had under way: rows may come twice.
    seen: set[bytes] = set()
    for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
        for values in zip(*(table.column(name).to_pylist() for name in _COLUMNS), strict=True):
            entry = _entry(*values)
            known = key(entry.source or "", "" if isinstance(entry, Finished) else entry.image)
            if known in seen or (isinstance(entry, JobRow) and work.has_member_row(entry)):
                continue
            seen.add(known)
            yield entry


_COLUMNS = ("image", "score", "error", "source", "version")


def _entry(
    image: str | None, score: float | None, error: str | None, source: str | None, version: str
) -> JobRow | Finished:
    """A row as it comes from a worker; without an image it says that a shard is finished."""
    return Finished(source or "", version) if image is None else JobRow(image, score, error, source, version)


class _Worker:
    """One actor: a network of its own, and a thread of its own to run it."""

    def __init__(self, network: list[Any], scoring: ScoringOptions, scale: MosScale | None) -> None:
        import ray

        self._scorer = Scorer(ray.get(network[0]), scoring)
        self._scale = scale

    def __call__(self, batch: Any) -> Iterator[Any]:
        """Rows of a batch of units, as tables."""
        units = [pickle.loads(one) for one in batch.column("unit").to_pylist()]
        entries = iter(self._score(units))
        while some := list(islice(entries, _ROWS_AT_ONCE)):
            yield _table(some)

    def _score(self, units: list[tuple[Unit, str]]) -> Iterable[JobRow | Finished]:
        if any(unit.is_shard for unit, _ in units):  # too many images to hold back their rows
            for one in units:
                yield from self._one(one)
            return
        try:
            yield from list(self._rows(units))
        except GRMPError:
            raise
        except Exception:  # which of them it was shows one by one
            for one in units:
                yield from self._one(one)

    def _one(self, unit: tuple[Unit, str]) -> Iterator[JobRow | Finished]:
        try:
            yield from self._rows([unit])
        except GRMPError:
            raise
        # Ray would give up the whole job.
        except Exception as error:
            name = unit[0].name
            source = plain_text(name) if unit[0].is_shard else None
            text = f"failed: {type(error).__name__}: {error}"[:200]
            yield JobRow(plain_text(name), None, plain_text(text), source, UNREAD)

    def _rows(self, units: list[tuple[Unit, str]]) -> Iterator[JobRow | Finished]:
        pending = (item for unit, version in units for item in unit_work(unit, version))
        with closing(score_here(pending, self._scorer, self._scale)) as entries:
            yield from entries


def _table(entries: list[JobRow | Finished]) -> Any:
    """Entries as a table; without an image a row says that a shard is finished."""
    return rows_table(
        one if isinstance(one, JobRow) else (None, None, None, one.source, one.version) for one in entries
    )


def _absolute(unit: Unit) -> Unit:
    """The unit for a process with another working directory."""
    if not isinstance(unit.place, LocalPlace):
        return unit
    changed: Unit = replace(unit, place=LocalPlace(os.path.abspath(unit.place.name)))  # type: ignore[type-var]
    return changed


@contextmanager
def _running(options: RayOptions) -> Iterator[Any]:
    """Ray, started or connected to unless it was before, and quiet."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    cpus = None if options.on_gpu else options.workers
    start = {"num_cpus": cpus, "include_dashboard": False}
    try:
        ray.init(**quiet, **(start if options.address is None else {"address": options.address}))
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f" at {options.address}" if options.address else ""
        raise GRMPError(f"Ray{where} cannot be reached: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
