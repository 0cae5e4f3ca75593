"""Metrics made ready to score one image at a time: pyiqa's, and this package's own."""

import contextlib
import io
import logging
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from grmp_plugin.errors import GRMPError, MetricError
from grmp_plugin.evaluation.brief_network import BriefNetwork
from grmp_plugin.evaluation.metric_names import MetricSpec
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions, image_tensor, pick_device, pick_precision
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.models import weights_digest
from grmp_plugin.versions import package_versions

_LONGEST_REASON = 160

Image = np.ndarray
"""(H, W, 3) uint8 RGB."""

ScoreImage = Callable[[Image, "Image | None"], float]
"""Score of an image, given its reference where the metric wants one."""


class Metrics:
    """Creates metrics on one device.

    Args:
        device: `auto`, `cpu`, `cuda`.

    Raises:
        InputError: when the device is not to be had here.
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = pick_device(device)
        self._network = BriefNetwork()

    def identity(self, spec: MetricSpec) -> dict[str, Any]:
        """Whatever a score of this metric depends on, apart from the images; nothing is created for it.

        Raises:
            MetricError: when its weights cannot be had.
        """
        versions = package_versions()
        if spec.own:
            with failing_quietly():
                weights = weights_digest(spec.name)
            return {
                "weights_sha256": weights,
                "precision": pick_precision("auto", self.device),
                "device": self.device.type,
                "versions": {name: versions[name] for name in ("grmp-iqa", "torch", "numpy", "pillow")},
            }
        return {
            "pyiqa_metric": spec.name,
            "options": _plain(spec.options or {}),
            "device": self.device.type,
            "versions": {name: versions[name] for name in ("pyiqa", "torch", "numpy", "pillow")},
        }

    def open(self, spec: MetricSpec) -> ScoreImage:
        """Make a metric ready; what it prints meanwhile is not shown.

        Raises:
            MetricError: when it cannot be created, with the reason.
        """
        # Nobody is asked for what needs no download.
        with (
            failing_quietly(),
            self._network.waiting_briefly() if spec.downloads else contextlib.nullcontext(),
        ):
            return self._open_own(spec) if spec.own else self._open_pyiqas(spec)

    def _open_own(self, spec: MetricSpec) -> ScoreImage:
        scorer = Scorer(GRMPIQA(spec.name), ScoringOptions(device=str(self.device)))

        def score(image: Image, reference: Image | None) -> float:
            return scorer.score_image(image)

        return score

    def _open_pyiqas(self, spec: MetricSpec) -> ScoreImage:
        import pyiqa

        metric = pyiqa.create_metric(spec.name, device=self.device)

        def score(image: Image, reference: Image | None) -> float:
            inputs = [image_tensor(image)]
            if spec.reference:
                if reference is None:
                    raise MetricError("there is no reference image")
                if reference.shape != image.shape:
                    raise MetricError(
                        f"the reference has {reference.shape[1]}x{reference.shape[0]} pixels, the image "
                        f"{image.shape[1]}x{image.shape[0]}"
                    )
                inputs.append(image_tensor(reference))
            # Some metrics draw random crops: the same image has the same score, whatever came before it.
            torch.manual_seed(0)
            result = metric(*inputs)
            return float(result[0] if isinstance(result, tuple) else result)

        return score


@contextlib.contextmanager
def failing_quietly() -> Iterator[None]:
    """Turn whatever a metric raises into a `MetricError` of one line, and keep its prints to itself.

    Raises:
        MetricError: for any error.
    """
    level = logging.root.manager.disable
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.ERROR)
            yield
    except MetricError:
        raise
    # Foreign code: anything may come out of it, and it must cost this metric only.
    except Exception as error:
        raise MetricError(_reason(error)) from error
    finally:
        logging.disable(level)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = textwrap.shorten(lines[0], _LONGEST_REASON, placeholder=" ...") if lines else ""
    if isinstance(error, GRMPError):
        return first
    if isinstance(error, OSError) and ("urlopen" in first or "Hub" in first or "offline" in first.lower()):
        return f"its weights could not be downloaded ({first})"
    if isinstance(error, ImportError):
        return f"a package that it needs is not installed ({first})"
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _plain(value: Any) -> Any:
    """Options as JSON has them."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
