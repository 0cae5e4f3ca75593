"""Run metrics over images; known scores come from a cache, and a failure costs only its metric or image."""

import math
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, nullcontext
from itertools import islice
from typing import NamedTuple

import numpy as np

from grmp_plugin.data.images import read_image, read_in_room
from grmp_plugin.errors import ImageError, MetricError
from grmp_plugin.evaluation.comparison import MetricScores
from grmp_plugin.evaluation.metric_names import MetricSpec
from grmp_plugin.evaluation.metric_workers import MetricWorkers, Pair, Scored, metric_workers
from grmp_plugin.evaluation.metrics import Metrics, failing_quietly
from grmp_plugin.evaluation.pixel_digests import PixelDigests
from grmp_plugin.evaluation.score_cache import KeptScore, ScoreCache, cache_key
from grmp_plugin.files import sha256
from grmp_plugin.progress import Progress, ProgressCallback
from grmp_plugin.threads import decoding_pool

_AHEAD = 4  # images decoded in advance
_DECODERS = 2
_KEEP_EVERY = 20  # scores


class PixelTable(NamedTuple):
    """Digests of the decoded pixels of N images and of their originals, None where unknown."""

    images: tuple[str | None, ...]
    originals: tuple[str | None, ...]


class ScoreTable(NamedTuple):
    """Scores by metric, and N reasons why images cannot be read, None where they can.

    `pixels` is None unless it was asked for.
    """

    metrics: tuple[MetricScores, ...]
    errors: tuple[str | None, ...]
    pixels: PixelTable | None = None


def score_images(
    images: Sequence[str],
    references: Sequence[str | None] | None,
    specs: Sequence[MetricSpec],
    metrics: Metrics,
    cache: ScoreCache,
    report: ProgressCallback,
    originals: Sequence[str | None] | None = None,
    jobs: int = 1,
) -> ScoreTable:
    """Score images with several metrics, one after the other.

    A metric is created only if the cache lacks a score. Scores are kept even if the run is interrupted.

    Args:
        images: N paths.
        references: N paths of reference images; None if there are none. No metric is judged on an image
            whose reference is None.
        specs: The metrics.
        metrics: Creates them.
        cache: Keeps scores from run to run.
        report: Called after each image, with the metric's name as the stage.
        originals: N paths of the images' originals, None where unknown. If given, images and originals are
            also identified by their pixels, as they are decoded.
        jobs: Processes for pyiqa's metrics, on the CPU; 1 for none beside this one.
    """
    files = _Files(images, references, None if originals is None else PixelDigests(cache))
    with metric_workers(jobs) if jobs > 1 else nullcontext() as workers:
        results = [_one_metric(spec, files, metrics, cache, report, workers) for spec in specs]
    pixels = None if originals is None else files.pixel_table(originals, report)
    return ScoreTable(tuple(results), tuple(files.errors), pixels)


class _Files:
    """Images and references, their digests, and their errors."""

    def __init__(
        self,
        images: Sequence[str],
        references: Sequence[str | None] | None,
        pixels: PixelDigests | None,
    ) -> None:
        self.images, self.references, self._pixels = images, references, pixels
        self.errors: list[str | None] = [None] * len(images)
        self._digest_of: dict[str, str] = {}
        digest = self._digest
        self.digests: list[tuple[str, str | None]] = []
        for number, image in enumerate(images):
            try:
                own, reference = digest(image), None if references is None else references[number]
                if references is not None and reference is None:
                    raise ImageError("it has no reference")
                self.digests.append((own, None if reference is None else digest(reference)))
            except (OSError, ValueError, ImageError) as error:
                self.errors[number] = str(error) if isinstance(error, ImageError) else _why_unreadable(image)
                self.digests.append(("", None))
        if pixels is not None:
            pixels.find(self._digest_of.values())

    def pixel_table(self, originals: Sequence[str | None], report: ProgressCallback) -> PixelTable:
        """Digests of the pixels of images and originals; what no metric has decoded is decoded now."""
        assert self._pixels is not None
        files: dict[str, str] = {
            own: path for path, (own, _) in zip(self.images, self.digests, strict=True) if own
        }
        digests = []
        for original in originals:
            try:
                digests.append(None if original is None else self._digest(original))
            except OSError:
                digests.append(None)
        known = {d: o for d, o in zip(digests, originals, strict=True) if d is not None and o is not None}
        self._pixels.find(known)
        self._pixels.complete({**files, **known}, report)
        return PixelTable(
            tuple(self._pixels.get(own) for own, _ in self.digests),
            tuple(None if digest is None else self._pixels.get(digest) for digest in digests),
        )

    def _digest(self, path: str) -> str:
        if path not in self._digest_of:
            if not os.path.isfile(path):  # reading a pipe would block
                raise FileNotFoundError(path)
            self._digest_of[path] = sha256(path)
        return self._digest_of[path]

    def key(self, identity: dict[str, object], number: int, with_reference: bool) -> str:
        image, reference = self.digests[number]
        return cache_key(identity, image, reference if with_reference else None)

    def decoded(
        self, numbers: Sequence[int], with_reference: bool
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """Number, image and reference in turn; unreadable ones are recorded in `errors` and skipped."""
        remaining = iter(numbers)
        with decoding_pool(_DECODERS) as pool:

            def submit(number: int) -> "tuple[int, Future[tuple[np.ndarray, np.ndarray | None]]]":
                return number, pool.submit(self._decode, number, with_reference)

            pending = deque(submit(number) for number in islice(remaining, _AHEAD))
            while pending:
                number, future = pending.popleft()
                pending.extend(submit(following) for following in islice(remaining, 1))
                try:
                    yield number, *future.result()
                except (ImageError, MemoryError) as error:
                    self.errors[number] = str(error) or "not enough memory to decode it"

    def pairs(self, numbers: Sequence[int], with_reference: bool) -> list[Pair]:
        """Images with their references, for other processes to read."""
        references = self.references if with_reference else None
        return [
            Pair(number, self.images[number], None if references is None else references[number])
            for number in numbers
        ]

    def take_pixels(self, number: int, digest: str) -> None:
        """Remember the digest of an image's pixels that another process has read."""
        if self._pixels is not None:
            self._pixels.take(self.digests[number][0], digest)

    def _decode(self, number: int, with_reference: bool) -> tuple[np.ndarray, np.ndarray | None]:
        image = read_in_room(self.images[number])
        if self._pixels is not None:
            self._pixels.add(self.digests[number][0], image)
        reference = None if self.references is None else self.references[number]
        if not with_reference or reference is None:
            return image, None
        try:
            return image, read_in_room(reference)
        except ImageError as error:
            raise ImageError(f"its reference {reference}: {error}") from error


def _why_unreadable(path: str) -> str:
    """The decoder's message, which is clearer than the system's."""
    try:
        read_image(path)
    except ImageError as error:
        return str(error)
    return "its bytes could not be read"


def _one_metric(
    spec: MetricSpec,
    files: _Files,
    metrics: Metrics,
    cache: ScoreCache,
    report: ProgressCallback,
    workers: MetricWorkers | None,
) -> MetricScores:
    count = len(files.images)
    result = _Result(spec, count)
    try:
        result.identity = metrics.identity(spec)
        keys = [files.key(result.identity, number, spec.reference) for number in range(count)]
        kept = cache.find(keys[number] for number in range(count) if files.errors[number] is None)
        for number, key in enumerate(keys):
            if key in kept and files.errors[number] is None:
                result.take(number, kept[key])
        missing = [
            number
            for number in range(count)
            if files.errors[number] is None and math.isnan(result.scores[number])
        ]
        if missing:
            report(Progress(spec.name, 0, len(missing), "loading the metric"))
            # Our own models use all cores as they are.
            if workers is None or spec.own:
                scored = _scored_here(spec, files, missing, metrics)
            else:
                scored = _scored_by(workers, spec, files, missing, metrics)
            with closing(scored):
                _keep(spec, scored, len(missing), keys, result, cache, report)
    except MetricError as error:
        return MetricScores(
            spec.name,
            spec.reference,
            spec.lower_better,
            np.full(count, math.nan),
            (None,) * count,
            math.nan,
            str(error),
            result.identity,
        )
    return result.finished(files.errors)


def _scored_here(
    spec: MetricSpec, files: _Files, missing: Sequence[int], metrics: Metrics
) -> Generator[Scored, None, None]:
    """Score images in this process; unreadable ones are recorded in `files` and skipped."""
    score = metrics.open(spec)
    warm = False
    for number, image, reference in files.decoded(missing, spec.reference):
        try:
            with failing_quietly():
                if not warm:  # one-time work does not count as the metric's speed
                    score(image, reference)
                    warm = True
                started = time.perf_counter()
                kept = KeptScore(score(image, reference), time.perf_counter() - started)
        except MetricError as error:
            yield Scored(number, failed=str(error))
        else:
            yield Scored(number, kept)


def _scored_by(
    workers: MetricWorkers, spec: MetricSpec, files: _Files, missing: Sequence[int], metrics: Metrics
) -> Generator[Scored, None, None]:
    """Score images in other processes; unreadable ones are recorded in `files` and skipped."""
    if spec.downloads:
        metrics.open(spec)  # so that not every process downloads the weights
    for scored in workers.score(spec, files.pairs(missing, spec.reference)):
        if scored.pixels is not None:
            files.take_pixels(scored.number, scored.pixels)
        if scored.unreadable is not None:
            files.errors[scored.number] = scored.unreadable
        else:
            yield scored


def _keep(
    spec: MetricSpec,
    scored: Iterable[Scored],
    count: int,
    keys: Sequence[str],
    result: "_Result",
    cache: ScoreCache,
    report: ProgressCallback,
) -> None:
    fresh: dict[str, KeptScore] = {}
    try:
        for done, one in enumerate(scored, 1):
            if one.score is None:
                result.errors[one.number] = one.failed
            elif math.isfinite(one.score.score):
                result.take(one.number, one.score)
                fresh[keys[one.number]] = one.score
            else:
                result.errors[one.number] = f"its score is {one.score.score}"
            report(Progress(spec.name, done, count))
            if len(fresh) >= _KEEP_EVERY:
                cache.keep(fresh)
                fresh.clear()
    finally:
        cache.keep(fresh)


class _Result:
    """Scores of one metric so far."""

    def __init__(self, spec: MetricSpec, count: int) -> None:
        self._spec = spec
        self.identity: dict[str, object] = {}
        self.scores = np.full(count, math.nan)
        self.errors: list[str | None] = [None] * count
        self._seconds: list[float] = []

    def take(self, number: int, kept: KeptScore) -> None:
        self.scores[number] = kept.score
        self._seconds.append(kept.seconds)

    def finished(self, unreadable: Sequence[str | None]) -> MetricScores:
        readable = [number for number, reason in enumerate(unreadable) if reason is None]
        failed = [number for number in readable if self.errors[number] is not None]
        error = None
        # All metrics are judged on the same images; one that fails on most would leave few to the others.
        if failed and 2 * len(failed) > len(readable):
            error = f"no score for {len(failed)} of {len(readable)} images: {self.errors[failed[0]]}"
        return MetricScores(
            self._spec.name,
            self._spec.reference,
            self._spec.lower_better,
            self.scores,
            tuple(self.errors),
            float(np.mean(self._seconds)) if self._seconds else math.nan,
            error,
            self.identity,
        )
