"""Scoring images: decode ahead in threads, run the network on batches, return results in input order."""

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

from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT
from grmp_plugin.data.pixel_room import decoding
from grmp_plugin.data.sources import FileImage, ImageSource
from grmp_plugin.data.unreadable import NO_MEMORY
from grmp_plugin.errors import GRMPError, ImageError, InputError
from grmp_plugin.evaluation.threads import Share, share, usable_threads, worker_pool
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.precision import reduce_precision
from grmp_plugin.network.preprocess import make_pixel_views

# Images per batch. A core is as fast with few as with many, and small batches spread evenly over the cores.
_BATCH, _BATCH_ON_CPU = 16, 4
# Decoding threads: one per core, but several even on small machines, since files may be on slow storage.
_FEWEST_DECODERS, _MOST_DECODERS = 4, 16

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ImageScore:
    """The score of one image, or the reason why it has none.

    Attributes:
        image: Path or name.
        score: None where `error` says why.
        error: None where there is a score.
    """

    image: str
    score: float | None
    error: str | None = None


@dataclass(frozen=True)
class ScoringOptions:
    """How to run a network on images.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`; auto is fp16 on CUDA and fp32 elsewhere.
        batch_size: Most images per batch; None for 4 on a CPU and 16 elsewhere. Scores do not depend on it.
        pixel_limit: Largest width x height that is decoded.
        threads: Threads that share the work; None for as many as torch would use, but no more than there are
            cores. Scores do not depend on it.
    """

    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    pixel_limit: int = DEFAULT_PIXEL_LIMIT
    threads: int | None = None


class Scorer:
    """A network prepared for scoring on one device in one precision.

    Args:
        network: Moved and cast in place.
        options: How to run it.

    Raises:
        InputError: When the device or precision is not available here.
    """

    def __init__(self, network: GRMPIQA, options: ScoringOptions) -> None:
        self.options = options
        self.device = pick_device(options.device)
        self.precision = pick_precision(options.precision, self.device)
        self.network = reduce_precision(network, PRECISIONS[self.precision]).to(self.device).eval()
        self.network.requires_grad_(False)

    def score(self, images: Iterable[str | ImageSource]) -> Generator[ImageScore, None, None]:
        """Score images in the order given; an image that cannot be read gives a row with an error.

        Images are decoded and scored ahead of the rows that are taken: close the generator to stop early.

        Args:
            images: Paths of files, or other sources.

        Raises:
            GRMPError: When a batch does not fit into the device's memory.
        """
        sources = (FileImage(image) if isinstance(image, str) else image for image in images)
        plan, batches = self._plan(sources)
        with (
            worker_pool(self._decoders(), 1, "grmp-decode") as decoding,
            worker_pool(plan.workers, plan.each, "grmp-network") as scoring,
        ):

            def begin(batch: list[ImageSource]) -> Future[list[ImageScore]]:
                loading = [decoding.submit(self._load, source) for source in batch]
                return scoring.submit(self._score_batch, batch, loading)

            # Each worker has one batch in the network and one being decoded.
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
            ImageError: When the image has no pixels.
            GRMPError: When it does not fit into the device's memory.
        """
        with torch.inference_mode():
            return self._run(make_pixel_views(image, self.network.config.preprocess))[0]

    def _load(self, source: ImageSource) -> Tensor:
        """The views of one image: (1, V, 3, S, S)."""
        with decoding() as reserve, torch.inference_mode():
            image = source.read(self.options.pixel_limit, reserve)
            return make_pixel_views(image, self.network.config.preprocess)

    def _score_batch(self, batch: list[ImageSource], loading: "list[Future[Tensor]]") -> list[ImageScore]:
        loaded = [_result(future) for future in loading]
        views = [row for row in loaded if isinstance(row, Tensor)]
        scores = iter(self._run(torch.cat(views)) if views else ())
        return [
            ImageScore(source.name, None, row)
            if isinstance(row, str)
            else self._row(source.name, next(scores))
            for source, row in zip(batch, loaded, strict=True)
        ]

    def _row(self, name: str, score: float) -> ImageScore:
        if math.isfinite(score):
            return ImageScore(name, score)
        advice = "the weights overflow" if self.precision == "fp32" else "use fp32"
        return ImageScore(name, None, f"the network's score in {self.precision} is {score}: {advice}")

    def _plan(self, sources: Iterable[ImageSource]) -> tuple[Share, Iterator[list[ImageSource]]]:
        """How to share the work, and the sources in batches."""
        threads = self.options.threads or usable_threads()
        remaining = iter(sources)
        if self.device.type != "cpu":
            plan = Share(self.options.batch_size or _BATCH, 1, threads)
            return plan, _batched(remaining, plan.batch)
        batch = self.options.batch_size or _BATCH_ON_CPU
        first = list(islice(remaining, batch * threads))  # enough to tell few images from many
        plan = share(len(first), batch, threads)
        return plan, _batched(chain(first, remaining), plan.batch)

    def _decoders(self) -> int:
        return min(max(self.options.threads or usable_threads(), _FEWEST_DECODERS), _MOST_DECODERS)

    def _run(self, views: Tensor) -> list[float]:
        with fitting_into(self.device, len(views), "images"), torch.inference_mode():
            # MPS has no float64.
            return self.network.score_views(views.to(self.device))[:, 0].cpu().double().tolist()


@contextmanager
def fitting_into(device: torch.device, count: int, what: str) -> Iterator[None]:
    """Turn running out of memory into advice.

    Args:
        device: Where the batch runs.
        count: Items in the batch.
        what: What the items are, in the plural.

    Raises:
        GRMPError: When the batch does not fit.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise GRMPError(
            f"a batch of {count} {what} does not fit into the memory of {device}: "
            f"use a smaller batch size, such as {max(1, count // 4)}"
        ) from error


def pick_device(name: str) -> torch.device:
    """The device that a name means on this machine; `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        InputError: When this machine has no such device.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(
            f"there is no device '{name}'; use auto, cpu, cuda or mps", argument="device"
        ) from error
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not available.get(device.type, False) or (device.index or 0) >= count:
        present = ", ".join(kind for kind, here in available.items() if here)
        raise InputError(f"'{name}' is not available here; available: {present}", argument="device")
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """The precision that a name means on a device.

    Raises:
        InputError: For an unknown name.
    """
    if name == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if name not in PRECISIONS:
        raise InputError(f"'{name}' is none of auto, {', '.join(PRECISIONS)}", argument="precision")
    return name


def image_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() / 255


def _batched(sources: Iterable[ImageSource], size: int) -> Iterator[list[ImageSource]]:
    remaining = iter(sources)
    while batch := list(islice(remaining, size)):
        yield batch


def _result(future: "Future[Tensor]") -> Tensor | str:
    try:
        return future.result()
    except ImageError as error:
        return str(error)
    except MemoryError:
        return NO_MEMORY
