"""The pictures to choose from, with what a linear head reads of them."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.labelling.near_duplicates import Distinct
from grmp_plugin.labelling.reading import LeftOut, read_each
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import HeadInputs
from grmp_plugin.network.preprocess import make_pixel_views, normalize
from grmp_plugin.progress import Progress, ProgressCallback
from grmp_plugin.training.ridge import start_logits

_BATCH = 8  # pictures in the network at once


@dataclass(frozen=True, eq=False)
class Pool:
    """Readable pictures, none a near-duplicate of another, and what a network says of them.

    Attributes:
        paths: N paths.
        network: The network.
        inputs: What a linear head reads of them, float32 on the CPU.
        start: (N,) float64: the network's logits of quality.
        left_out: The others.
    """

    paths: tuple[str, ...]
    network: GRMPIQA
    inputs: HeadInputs
    start: np.ndarray
    left_out: LeftOut

    def subset(self, numbers: Sequence[int] | np.ndarray) -> "Pool":
        """Some of the pictures, by their numbers, with inputs as float64."""
        chosen = np.asarray(numbers, np.int64)
        inputs = self.inputs.each(lambda values: values[chosen].double())
        paths = tuple(self.paths[at] for at in chosen)
        return Pool(paths, self.network, inputs, self.start[chosen], LeftOut())


def read_pool(
    paths: Iterable[str], network: GRMPIQA, progress: ProgressCallback, most: int | None = None
) -> Pool:
    """Read pictures, and what the network says of them.

    Args:
        paths: Paths; the first of near-duplicates is kept.
        network: In evaluation mode, on the CPU.
        progress: Called with each `Progress`.
        most: Stop when there are so many; None: read all.
    """
    listed = list(paths)
    enough = len(listed) if most is None else most
    distinct, kept = Distinct(), list[str]()
    bad: list[tuple[str, str]] = []
    alike: list[str] = []
    described = _Descriptions(network)

    def views(pixels: np.ndarray) -> Tensor:
        with torch.inference_mode():
            return make_pixel_views(pixels, network.config.preprocess)

    threads = torch.get_num_threads()
    # One thread of torch in each of ours; new threads inherit the number that was set last.
    with closing(read_each(listed, views, lambda: torch.set_num_threads(1))) as reading:
        try:
            for done, one in enumerate(reading, 1):
                if one.thumb is None or one.made is None:
                    bad.append((one.path, one.error or ""))
                elif distinct.add(one.thumb):
                    kept.append(one.path)
                    described.add(one.made)
                else:
                    alike.append(one.path)
                seen = len(kept) if enough < len(listed) else done
                progress(Progress("looking at pictures", seen, min(enough, len(listed))))
                if len(kept) == enough:
                    break
        finally:
            torch.set_num_threads(threads)
    inputs, start = described.all()
    return Pool(tuple(kept), network, inputs, start, LeftOut(tuple(bad), tuple(alike)))


class _Descriptions:
    """What a linear head reads of pictures, computed in batches."""

    def __init__(self, network: GRMPIQA) -> None:
        self._network = network
        self._waiting: list[Tensor] = []
        self._inputs: list[HeadInputs] = []

    def add(self, views: Tensor) -> None:
        """Take in the views of one picture, (1, V, 3, S, S)."""
        self._waiting.append(views)
        if len(self._waiting) == _BATCH:
            self._describe()

    def all(self) -> tuple[HeadInputs, np.ndarray]:
        """Inputs of a head and logits (N,) of N pictures."""
        if self._waiting:
            self._describe()
        if not self._inputs:
            return HeadInputs(torch.empty(0), torch.empty(0, 1), None), np.empty(0)
        statistics = [each.statistics for each in self._inputs if each.statistics is not None]
        inputs = HeadInputs(
            torch.cat([each.logit for each in self._inputs]),
            torch.cat([each.features for each in self._inputs]),
            torch.cat(statistics) if statistics else None,
        )
        return inputs, start_logits(self._network, inputs).astype(np.float64)

    def _describe(self) -> None:
        network, views = self._network, torch.cat(self._waiting)
        self._waiting.clear()
        with torch.inference_mode():
            tokens, statistics = network.embed(normalize(views.flatten(0, 1), network.config.preprocess))
            shape = views.shape[:2]
            mean = None if statistics is None else statistics.unflatten(0, shape).mean(dim=1)
            found = network.head_inputs(tokens.unflatten(0, shape), statistics=mean)
        self._inputs.append(found.each(lambda values: values.float().cpu()))
