"""The pictures to choose from: read in threads, with or without what a network says of them."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.data.images import read_image
from grmp_plugin.data.pixel_room import PixelRoom
from grmp_plugin.errors import ImageError
from grmp_plugin.evaluation.threads import usable_threads
from grmp_plugin.labelling.near_duplicates import Distinct, Thumbprint, thumbprint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import make_pixel_views, normalize
from grmp_plugin.progress import Progress, ProgressCallback

_MOST_PIXELS = 100_000_000  # decoded at once
_FEWEST_THREADS = 4  # files may be on slow storage
_BATCH = 8  # pictures in the network at once
_AHEAD = 2  # pictures that are read ahead, per thread


@dataclass(frozen=True)
class LeftOut:
    """What of the pictures cannot be chosen.

    Attributes:
        unreadable: Path and reason.
        near_duplicates: Paths.
    """

    unreadable: tuple[tuple[str, str], ...] = ()
    near_duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Pool:
    """Readable pictures, none a near-duplicate of another, and what a network says of them.

    Attributes:
        paths: N paths.
        features: (N, D) float64: image features, L2-normalised.
        scores: (N,) float64: quality, 0 to 1.
        left_out: The others.
    """

    paths: tuple[str, ...]
    features: np.ndarray
    scores: np.ndarray
    left_out: LeftOut


@dataclass(frozen=True)
class _Read:
    """One picture: why it cannot be read, or its thumbprint and, where wanted, its views."""

    path: str
    error: str | None = None
    thumb: Thumbprint | None = None
    views: Tensor | None = None


def read_some(paths: Iterable[str], count: int, known: Iterable[str] = ()) -> tuple[list[str], LeftOut]:
    """The first pictures of a sequence that can be read, without near-duplicates.

    Args:
        paths: Paths in the order of preference; no more are read than needed.
        count: Most pictures to return.
        known: Pictures of which no near-duplicate is wanted.

    Returns:
        At most `count` paths, and what was left out on the way.
    """
    distinct, chosen = Distinct(), list[str]()
    for one in _reading(known, None):
        if one.thumb is not None:
            distinct.add(one.thumb)
    bad: list[tuple[str, str]] = []
    alike: list[str] = []
    reading = _reading(paths, None)
    for one in reading:
        if one.thumb is None:
            bad.append((one.path, one.error or ""))
        elif distinct.add(one.thumb):
            chosen.append(one.path)
            if len(chosen) == count:
                break
        else:
            alike.append(one.path)
    reading.close()
    return chosen, LeftOut(tuple(bad), tuple(alike))


def read_pool(paths: Iterable[str], network: GRMPIQA, progress: ProgressCallback) -> Pool:
    """Read all pictures, and what the network says of them.

    Args:
        paths: Paths; the first of near-duplicates is kept.
        network: In evaluation mode, on the CPU.
        progress: Called with each `Progress`.
    """
    listed = list(paths)
    distinct, kept = Distinct(), list[str]()
    bad: list[tuple[str, str]] = []
    alike: list[str] = []
    features: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    waiting: list[Tensor] = []

    def describe() -> None:
        if waiting:
            known, quality = _described(network, torch.cat(waiting))
            features.append(known)
            scores.append(quality)
            waiting.clear()

    for done, one in enumerate(_reading(listed, network), 1):
        if one.thumb is None or one.views is None:
            bad.append((one.path, one.error or ""))
        elif distinct.add(one.thumb):
            kept.append(one.path)
            waiting.append(one.views)
        else:
            alike.append(one.path)
        if len(waiting) == _BATCH:
            describe()
        progress(Progress("looking at pictures", done, len(listed)))
    describe()
    return Pool(
        tuple(kept),
        np.concatenate(features) if features else np.empty((0, 1)),
        np.concatenate(scores) if scores else np.empty(0),
        LeftOut(tuple(bad), tuple(alike)),
    )


def _described(network: GRMPIQA, views: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Features (B, D) and qualities (B,) of pictures given as views (B, V, 3, S, S); means over the views."""
    with torch.inference_mode():
        flat = network.image_features(normalize(views.flatten(0, 1), network.config.preprocess))
        quality = network.quality_logits(flat).softmax(-1)[:, 0].unflatten(0, views.shape[:2]).mean(dim=1)
        mean = flat.unflatten(0, views.shape[:2]).mean(dim=1)
        mean = mean / mean.norm(dim=-1, keepdim=True)
    return mean.double().numpy(), quality.double().numpy()


def _reading(paths: Iterable[str], network: GRMPIQA | None) -> Generator[_Read, None, None]:
    """Read pictures in threads, in order; close the generator to stop early."""
    room = PixelRoom(_MOST_PIXELS)

    def read(path: str) -> _Read:
        try:
            with room.entry() as reserve, torch.inference_mode():
                pixels = read_image(path, reserve=reserve)
                views = None if network is None else make_pixel_views(pixels, network.config.preprocess)
                return _Read(path, thumb=thumbprint(pixels), views=views)
        except ImageError as error:
            return _Read(path, error=error.message)
        except MemoryError:
            return _Read(path, error="not enough memory to decode it")

    threads = max(usable_threads(), _FEWEST_THREADS)
    remaining = iter(paths)
    pool = ThreadPoolExecutor(threads, "grmp-label", torch.set_num_threads, (1,))
    before = torch.get_num_threads()
    try:
        pending: deque[Future[_Read]] = deque(
            pool.submit(read, path) for path in islice(remaining, _AHEAD * threads)
        )
        while pending:
            one = pending.popleft().result()
            pending.extend(pool.submit(read, path) for path in islice(remaining, 1))
            yield one
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)
