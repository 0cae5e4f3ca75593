"""The models that are known by name, and where their weights are."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from grmp_plugin.errors import InputError
from grmp_plugin.files import existing, sha256
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint, read_info
from grmp_plugin.network.download import Remote, cached, fetch
from grmp_plugin.printable import shortened
from grmp_plugin.suggest import did_you_mean

DEFAULT_MODEL = "grmp_iqa-tiny"


@dataclass(frozen=True)
class Model:
    """A model that is known by name.

    Attributes:
        name: As users type it.
        backbone: The CLIP that it is built on.
        trained_on: Training data, in words.
        licence: Licence of the weights.
        remote: Where to download it; None for a model inside this package.
    """

    name: str
    backbone: str
    trained_on: str
    licence: str
    remote: Remote | None = None

    @property
    def path(self) -> Path | None:
        """The file on this machine, or None if it has not been downloaded."""
        if self.remote is not None:
            return cached(self.remote)
        return Path(str(files("grmp_plugin.weights") / f"{self.name}.safetensors"))

    def obtain(self) -> Path:
        """The file on this machine, downloaded if necessary.

        Raises:
            WeightsUnavailableError: When it cannot be downloaded.
        """
        return self.path or fetch(self._remote())

    def _remote(self) -> Remote:
        if self.remote is None:
            raise InputError(f"the model '{self.name}' is missing from this installation: reinstall grmp-iqa")
        return self.remote


MODELS = {
    model.name: model
    for model in (
        Model(
            "grmp_iqa-tiny",
            backbone="grmp-tiny (EfficientNet-Lite0 and a small CLIP)",
            trained_on="distorted photographs and human ratings of 581 images (LIVE Challenge)",
            licence="Apache-2.0 (notices in the package)",
        ),
        Model(
            "grmp_iqa-tiny-meta",
            backbone="grmp-tiny, without quality labels",
            trained_on="captions of photographs; meta-prompts on 22 kinds of distortion; no human ratings",
            licence="Apache-2.0 (notices in the package)",
        ),
        Model(
            "grmp_iqa",
            backbone="ViT-B-16-quickgelu (OpenAI)",
            trained_on="LIVE Challenge, 50 shots (the authors' weights)",
            licence="MIT (the authors' statement)",
            remote=Remote("zzhowe/GRMP-IQA", "clive_50_prompt_lda_5.0.pt"),
        ),
    )
}


def find_checkpoint(model: str) -> Checkpoint:
    """Read the checkpoint of a named model or of a file.

    Args:
        model: A name in `MODELS`, or a path.

    Raises:
        InputError: When it is neither; the message suggests the nearest name.
        CheckpointError, WeightsUnavailableError: When it cannot be read or downloaded.
    """
    return read_checkpoint(_find_file(model))


def find_info(model: str) -> Mapping[str, Any]:
    """The history of a named model or of a file, without its weights; errors as for `find_checkpoint`.

    Empty for a model that is still to be downloaded: the authors' files have no history.
    """
    if model in MODELS and MODELS[model].path is None:
        return {}
    return read_info(_find_file(model))


def weights_digest(model: str) -> str:
    """SHA-256 of a named model's file, or of a file; errors as for `find_checkpoint`."""
    return sha256(_find_file(model))


def _find_file(model: str) -> Path:
    if model in MODELS:
        return MODELS[model].obtain()
    found = existing(model)
    if found is not None:
        return found
    path = Path(model)
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"no such checkpoint file: {shortened(model)}")
    hint = did_you_mean(model[:100], MODELS) or f"Models: {', '.join(MODELS)}."
    raise InputError(f"'{shortened(model)}' is neither a model name nor a checkpoint file. {hint}")
