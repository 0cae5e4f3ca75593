"""The scoring network as an ONNX file; text features and prompts are constants in it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import make_views

INPUT_VIEWS, INPUT_IMAGES, OUTPUT = "views", "images", "score"


def export_network(
    network: GRMPIQA, path: Path, metadata: Mapping[str, str], image_size: tuple[int, int] | None = None
) -> None:
    """Write a network as ONNX.

    Args:
        network: In float32, on the CPU, in evaluation mode; changed in place and of no further use.
        path: The file.
        metadata: Texts that the file carries.
        image_size: Height and width of the images, where preprocessing is to be inside; None: views are the
            input.
    """
    scorer = _ImageScorer(network, image_size) if image_size else _ViewScorer(network)
    scorer.eval()
    # Two, since a batch of one would be taken for a constant.
    example = torch.rand(2, *scorer.shape)
    with torch.no_grad(), _quiet():
        scorer(example)  # computes what does not depend on the images
        network._cache = _Constants(network._cache.values())  # type: ignore[assignment]
        # Strict: by the bytecode, in which the length of a batch stays a variable.
        program = torch.export.export(
            scorer, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=True
        )
        exported = torch.onnx.export(
            program, dynamo=True, input_names=[scorer.input], output_names=[OUTPUT], verbose=False
        )
    assert exported is not None  # for the type checker: with dynamo=True it never is
    exported.model.metadata_props.update(metadata)
    exported.save(str(path), external_data=False)


def view_count(config: PreprocessConfig) -> int:
    """Number of views that an image is cut into."""
    return 1 if config.kind == "squash" else len(config.scales) * config.grid**2


class _ViewScorer(nn.Module):
    """(N, V, 3, S, S) in [0, 1] -> (N, 1)."""

    input = INPUT_VIEWS

    def __init__(self, network: GRMPIQA) -> None:
        super().__init__()
        self.network = network
        config = network.config.preprocess
        self.shape = (view_count(config), 3, config.size, config.size)

    def forward(self, views: Tensor) -> Tensor:
        return self.network.score_views(views)


class _ImageScorer(nn.Module):
    """(N, 3, H, W) in [0, 1] -> (N, 1)."""

    input = INPUT_IMAGES

    def __init__(self, network: GRMPIQA, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.shape = (3, *size)

    def forward(self, images: Tensor) -> Tensor:
        return self.network.score_views(make_views(images, self.network.config.preprocess))


class _Constants:
    """In place of a network's cache of what depends on its weights alone: values that are never checked."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def get(self, name: str, weights: Any, compute: Callable[[], Any]) -> Any:
        return self._values[name] if name in self._values else compute()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks, which are for people who write networks, from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
