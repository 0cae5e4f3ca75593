"""Create metrics that score one image at a time: pyiqa's, and this package's own."""

import contextlib
import copy
import io
import logging
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from grmp_plugin.errors import GRMPError, MetricError
from grmp_plugin.evaluation.metric_names import MetricSpec
from grmp_plugin.evaluation.network_timeout import NetworkTimeout
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions, image_tensor, pick_device, pick_precision
from grmp_plugin.network.digest import network_digest
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.models import weights_digest
from grmp_plugin.versions import package_versions

_LONGEST_REASON = 160

Image = np.ndarray
"""(H, W, 3) uint8 RGB."""

ScoreImage = Callable[[Image, "Image | None"], float]
"""Score of an image, given its reference if the metric needs one."""


class Metrics:
    """Creates metrics on one device.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        InputError: When this machine has no such device.
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = pick_device(device)
        self._network = NetworkTimeout()

    def identity(self, spec: MetricSpec) -> dict[str, Any]:
        """Everything that a score of this metric depends on beside the image; the metric is not created.

        Raises:
            MetricError: When its weights are unavailable.
        """
        versions = package_versions()
        if spec.own:
            with failing_quietly():
                weights = weights_digest(spec.name) if spec.network is None else network_digest(spec.network)
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
        """Create a metric; what it prints meanwhile is discarded.

        Raises:
            MetricError: When it cannot be created, with the reason.
        """
        # Without a download, the hub must not be contacted.
        with (
            failing_quietly(),
            self._network.limited() if spec.downloads else contextlib.nullcontext(),
        ):
            return self._open_own(spec) if spec.own else self._open_pyiqas(spec)

    def scorer(self, spec: MetricSpec) -> Scorer:
        """The network of an own model, ready for images on this device."""
        network = spec.network
        if isinstance(network, GRMPIQA):
            # A scorer moves and casts its network; the caller's must stay as it is.
            network = copy.deepcopy(network)
        else:
            network = GRMPIQA(spec.name if network is None else network)
        return Scorer(network, ScoringOptions(device=str(self.device)))

    def _open_own(self, spec: MetricSpec) -> ScoreImage:
        scorer = self.scorer(spec)

        def score(image: Image, _reference: Image | None) -> float:
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
            # Some metrics draw random crops: an image's score must not depend on what came before it.
            torch.manual_seed(0)
            result = metric(*inputs)
            return float(result[0] if isinstance(result, tuple) else result)

        return score


@contextlib.contextmanager
def failing_quietly() -> Iterator[None]:
    """Turn any error of a metric into a `MetricError` of one line, and discard what it prints.

    Raises:
        MetricError: For any error.
    """
    level = logging.root.manager.disable
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.ERROR)
            yield
    except MetricError:
        raise
    # Metrics are foreign code and may raise anything; the other metrics must go on.
    except Exception as error:
        raise MetricError(_reason(error)) from error
    finally:
        logging.disable(level)


def _reason(error: Exception) -> str:
    text = error.message if isinstance(error, GRMPError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = textwrap.shorten(lines[0], _LONGEST_REASON, placeholder=" ...") if lines else ""
    if isinstance(error, GRMPError):
        return first
    if isinstance(error, OSError) and ("urlopen" in first or "Hub" in first or "offline" in first.lower()):
        return f"its weights could not be downloaded ({first})"
    if isinstance(error, ImportError):
        return f"a package that it needs is not installed ({first})"
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _plain(value: Any) -> Any:
    """Options as JSON can represent them."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
