"""The models that go by a name, and where their weights are."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from grmp_plugin.errors import InputError
from grmp_plugin.files import sha256
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint
from grmp_plugin.network.download import Remote, cached, fetch
from grmp_plugin.suggest import did_you_mean

DEFAULT_MODEL = "grmp_iqa-tiny"


@dataclass(frozen=True)
class Model:
    """A model with a name.

    Attributes:
        name: as users type it.
        backbone: which CLIP it stands on.
        trained_on: data, in words.
        licence: of the weights.
        remote: where to fetch it, or None for the model inside this package.
    """

    name: str
    backbone: str
    trained_on: str
    licence: str
    remote: Remote | None = None

    @property
    def path(self) -> Path | None:
        """The file on this machine, or None if it has not been fetched."""
        if self.remote is not None:
            return cached(self.remote)
        return Path(str(files("grmp_plugin.weights") / f"{self.name}.safetensors"))

    def obtain(self) -> Path:
        """The file on this machine, fetched if need be.

        Raises:
            WeightsUnavailableError: when it cannot be fetched.
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
            trained_on="distorted photographs, and people's ratings of 581 (LIVE Challenge)",
            licence="Apache-2.0 (notices in the package)",
        ),
        Model(
            "grmp_iqa-tiny-meta",
            backbone="grmp-tiny, without quality labels",
            trained_on="captions of photographs; meta-prompts on 22 kinds of distortion; no rating by people",
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
    """The checkpoint of a named model, or a file's.

    Args:
        model: a name in `MODELS`, or a path.

    Raises:
        InputError: when it is neither, with the nearest name.
        CheckpointError, WeightsUnavailableError: when it cannot be read or fetched.
    """
    return read_checkpoint(_find_file(model))


def weights_digest(model: str) -> str:
    """SHA-256 of the checkpoint file of a named model, or of a file; raises as `find_checkpoint` does."""
    return sha256(_find_file(model))


def _find_file(model: str) -> Path:
    if model in MODELS:
        return MODELS[model].obtain()
    path = Path(model).expanduser()
    if path.exists():
        return path
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"there is no checkpoint file {path}")
    hint = did_you_mean(model, MODELS) or f"Models: {', '.join(MODELS)}."
    raise InputError(f"'{model}' is neither a model name nor a checkpoint file. {hint}")
