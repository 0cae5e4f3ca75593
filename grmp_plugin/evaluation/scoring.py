"""Scoring image files: decode ahead in threads, network in batches, results in input order."""

import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT, read_image
from grmp_plugin.errors import GRMPError, ImageError, InputError
from grmp_plugin.evaluation.threads import Share, share, usable_threads, worker_pool
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.precision import reduce_precision
from grmp_plugin.network.preprocess import make_views

# Images in a batch. A core is as fast with a few as with many, and few share themselves out more evenly.
_BATCH, _BATCH_ON_CPU = 16, 4
# Threads that read files: as many as cores, but some also where there are few, as files can be far away.
_FEWEST_DECODERS, _MOST_DECODERS = 4, 16

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ImageScore:
    """One row of a result: a score, or the reason why there is none."""

    image: str
    score: float | None
    error: str | None = None


@dataclass(frozen=True)
class ScoringOptions:
    """How to run a network over files.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`; auto is fp32 on a CPU and on MPS, fp16 on CUDA.
        batch_size: images that go through the network together at most; None: 4 on a CPU, 16 elsewhere.
        pixel_limit: largest width x height that is decoded.
        threads: that share the work; None: as many as torch would use, on cores that are there. No score
            depends on threads or batches.
    """

    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    pixel_limit: int = DEFAULT_PIXEL_LIMIT
    threads: int | None = None


class Scorer:
    """A network made ready for scoring files on one device in one precision.

    Args:
        network: is moved and cast in place.
        options: how to run it.

    Raises:
        InputError: when the device or precision is not to be had here.
    """

    def __init__(self, network: GRMPIQA, options: ScoringOptions) -> None:
        self.options = options
        self.device = pick_device(options.device)
        self.precision = pick_precision(options.precision, self.device)
        self.network = reduce_precision(network, PRECISIONS[self.precision]).to(self.device).eval()
        self.network.requires_grad_(False)

    def score(self, paths: Iterable[str]) -> Generator[ImageScore, None, None]:
        """Score files, in the order given; what cannot be read becomes a row with an error.

        Images are read and scored ahead of the rows that are taken: close the generator to stop early.

        Args:
            paths: image files.

        Raises:
            GRMPError: when a batch does not fit into the device's memory.
        """
        plan, batches = self._plan(paths)
        with (
            worker_pool(self._decoders(), 1, "grmp-decode") as decoding,
            worker_pool(plan.workers, plan.each, "grmp-network") as scoring,
        ):

            def begin(batch: list[str]) -> Future[list[ImageScore]]:
                loading = [decoding.submit(self._load, path) for path in batch]
                return scoring.submit(self._score_batch, batch, loading)

            # Another batch for each worker is decoded meanwhile.
            pending = deque(begin(batch) for batch in islice(batches, 2 * plan.workers))
            while pending:
                rows = pending.popleft().result()
                pending.extend(begin(batch) for batch in islice(batches, 1))
                yield from rows

    def score_image(self, image: np.ndarray) -> float:
        """Score one decoded image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Raises:
            ImageError: when it is too small.
            GRMPError: when it does not fit into the device's memory.
        """
        with torch.inference_mode():
            return self._run(make_views(image_tensor(image), self.network.config.preprocess))[0]

    def _load(self, path: str) -> Tensor:
        """The views of one file: (1, V, 3, S, S)."""
        image = read_image(path, pixel_limit=self.options.pixel_limit)
        with torch.inference_mode():
            return make_views(image_tensor(image), self.network.config.preprocess)

    def _score_batch(self, paths: list[str], loading: "list[Future[Tensor]]") -> list[ImageScore]:
        loaded = [_result(future) for future in loading]
        views = [row for row in loaded if isinstance(row, Tensor)]
        scores = iter(self._run(torch.cat(views)) if views else ())
        return [
            ImageScore(path, None, row) if isinstance(row, str) else self._row(path, next(scores))
            for path, row in zip(paths, loaded, strict=True)
        ]

    def _row(self, path: str, score: float) -> ImageScore:
        if math.isfinite(score):
            return ImageScore(path, score)
        return ImageScore(path, None, f"the network gave {score} in {self.precision}: try fp32")

    def _plan(self, paths: Iterable[str]) -> tuple[Share, Iterator[list[str]]]:
        """How the work is shared, and the paths in batches."""
        threads = self.options.threads or usable_threads()
        remaining = iter(paths)
        if self.device.type != "cpu":
            plan = Share(self.options.batch_size or _BATCH, 1, threads)
            return plan, _batched(remaining, plan.batch)
        batch = self.options.batch_size or _BATCH_ON_CPU
        first = list(islice(remaining, batch * threads))  # enough to see whether there are a few or many
        plan = share(len(first), batch, threads)
        return plan, _batched(chain(first, remaining), plan.batch)

    def _decoders(self) -> int:
        return min(max(self.options.threads or usable_threads(), _FEWEST_DECODERS), _MOST_DECODERS)

    def _run(self, views: Tensor) -> list[float]:
        with fitting_into(self.device, len(views), "images"), torch.inference_mode():
            return self.network.score_views(views.to(self.device))[:, 0].double().cpu().tolist()


@contextmanager
def fitting_into(device: torch.device, count: int, what: str) -> Iterator[None]:
    """Turn a full memory into advice.

    Args:
        device: where the batch runs.
        count: of images or windows in it.
        what: they are, in plural.

    Raises:
        GRMPError: when the batch does not fit.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise GRMPError(
            f"a batch of {count} {what} does not fit into the memory of {device}: "
            f"use a smaller batch size, such as {max(1, count // 4)}"
        ) from error


def pick_device(name: str) -> torch.device:
    """The device that a name means here; `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        InputError: when there is no such device on this machine.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"there is no device '{name}': use auto, cpu, cuda or mps") from error
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not available.get(device.type, False) or (device.index or 0) >= count:
        present = ", ".join(kind for kind, here in available.items() if here)
        raise InputError(f"the device '{name}' is not available on this machine (available: {present})")
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """The precision that a name means on a device.

    Raises:
        InputError: for an unknown name.
    """
    if name == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if name not in PRECISIONS:
        raise InputError(f"precision is auto, {', '.join(PRECISIONS)}; not '{name}'")
    return name


def image_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() / 255


def _batched(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(paths)
    while batch := list(islice(remaining, size)):
        yield batch


def _result(future: "Future[Tensor]") -> Tensor | str:
    try:
        return future.result()
    except ImageError as error:
        return str(error)
    except MemoryError:
        return "not enough memory to decode it"
