"""Weights of a backbone by tag or from a file, and the activation that they were trained with."""

from pathlib import Path

from torch import Tensor

from grmp_plugin.config import BackboneConfig
from grmp_plugin.errors import BackboneError
from grmp_plugin.files import existing
from grmp_plugin.network.clip import build_clip, clip_config_of
from grmp_plugin.network.download import Remote, fetch
from grmp_plugin.network.tensors import NamedTensors, check_finite, read_named
from grmp_plugin.plain_data import shown
from grmp_plugin.printable import printable

_OPENAI = "openai"
_QUICK = "-quickgelu"
# Constants that OpenAI's files store beside the weights, and masks of theirs and of old open_clip files.
_OPENAIS_NUMBERS = {"input_resolution", "context_length", "vocab_size"}
_NOT_WEIGHTS = _OPENAIS_NUMBERS | {"attn_mask"}


def backbone_tensors(config: BackboneConfig) -> dict[str, Tensor]:
    """All tensors of the backbone with the weights `config.weights`, by their names in open_clip's CLIP.

    Raises:
        BackboneError: When there is no such tag or file, it does not hold this model, or it was trained with
            another activation.
        CheckpointError: When the file is damaged or unsafe, or holds NaN or infinity.
        WeightsUnavailableError: When the weights would have to be downloaded and cannot be.
    """
    path = _weights_file(config)
    expected = build_clip(config).state_dict()
    named = read_named(path)
    if _is_openais(named):
        _check_activation(config, quick_gelu=True, weights=f"OpenAI's file {path}")
    tensors = {
        name.removeprefix("module."): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in named.tensors.items()
        if name.rpartition(".")[2] not in _NOT_WEIGHTS
    }
    if "logit_scale" in tensors and tensors["logit_scale"].numel() == 1:
        tensors["logit_scale"] = tensors["logit_scale"].reshape(expected["logit_scale"].shape)
    wrong = sorted(
        name
        for name in expected.keys() | tensors.keys()
        if name not in expected or name not in tensors or expected[name].shape != tensors[name].shape
    )
    if wrong:
        raise BackboneError(
            f"{path} does not hold the weights of '{config.name}': {len(wrong)} tensor(s) missing, "
            f"unknown or of the wrong shape, such as {', '.join(printable(name) for name in wrong[:3])}"
        )
    check_finite(tensors, path)
    return tensors


def as_file(weights: str) -> str | None:
    """Absolute path of the file that weights name; None for a tag."""
    path = existing(weights)
    return str(path.resolve()) if path is not None and path.is_file() else None


def matching_backbone(name: str, weights: str | None) -> BackboneConfig:
    """The open_clip model, of two that differ in their activation only, that weights were made for.

    Args:
        name: A model that open_clip lists; `ViT-B-16` and `ViT-B-16-quickgelu` are equally good.
        weights: A tag of open_clip, or a file; None for OpenAI's weights.

    Returns:
        Name and weights. For a file of open_clip, which does not tell its activation, the name as given.

    Raises:
        BackboneError: When there are no such weights; the message lists those that there are.
    """
    import open_clip

    wanted = _OPENAI if weights is None else weights
    other = name.removesuffix(_QUICK) if name.endswith(_QUICK) else name + _QUICK
    tags: list[str] = []
    for candidate in (name, other):
        tag = open_clip.get_pretrained_cfg(candidate, wanted)
        listed = open_clip.get_model_config(candidate)
        if tag and listed and bool(tag.get("quick_gelu")) == bool(listed.get("quick_gelu")):
            return BackboneConfig(candidate, wanted)
        tags += open_clip.list_pretrained_tags_by_model(candidate)
    file = None if weights is None else as_file(weights)
    if file is not None:
        quick = name if name.endswith(_QUICK) else other
        is_openais = open_clip.get_model_config(quick) is not None and _is_openais(read_named(Path(file)))
        return BackboneConfig(quick if is_openais else name, file)
    what = (
        f"'{name}' has no weights by OpenAI"
        if weights is None
        else (f"{shown(wanted)} is neither a file nor a weights tag of '{name}'")
    )
    known = ", ".join(dict.fromkeys(tags)) or "none; name a file"
    raise BackboneError(f"{what}. Its weights: {known}", see=("backbone_weights",))


def _is_openais(named: NamedTensors) -> bool:
    return named.torchscript or named.tensors.keys() >= _OPENAIS_NUMBERS


def _check_activation(config: BackboneConfig, *, quick_gelu: bool, weights: str) -> None:
    """Raise BackboneError when weights were trained with another activation than the backbone has."""
    if clip_config_of(config).quick_gelu == quick_gelu:
        return
    right = config.name + _QUICK if quick_gelu else config.name.removesuffix(_QUICK)
    raise BackboneError(
        f"{weights} were trained with {'QuickGELU' if quick_gelu else 'GELU'}, but '{config.name}' computes "
        f"{'GELU' if quick_gelu else 'QuickGELU'}, which gives wrong features. Use '{right}'",
        see=("model",),
    )


def _weights_file(config: BackboneConfig) -> Path:
    import open_clip

    if config.weights is None:
        raise BackboneError(f"backbone '{config.name}' has no weights")
    tag = open_clip.get_pretrained_cfg(config.name, config.weights)
    if not tag:
        file = as_file(config.weights)
        if file is not None:
            return Path(file)
        known = open_clip.list_pretrained_tags_by_model(config.name)
        raise BackboneError(
            f"{shown(config.weights)} is neither a file nor a weights tag of {shown(config.name)} "
            f"(tags: {', '.join(known) or 'none'})"
        )
    _check_activation(
        config, quick_gelu=bool(tag.get("quick_gelu")), weights=f"the weights '{config.weights}'"
    )
    repository, _, name = tag.get("hf_hub", "").rpartition("/")
    if not repository:
        raise BackboneError(
            f"the weights '{config.weights}' of '{config.name}' are not on the Hugging Face hub: download "
            f"{tag.get('url', 'them')} and name the file as weights",
            see=("backbone_weights",),
        )
    # open_clip's default names; safetensors first, since they cannot contain code.
    names = [name] if name else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    return _first_available(repository, names)


def _first_available(repository: str, names: list[str]) -> Path:
    for name in names[:-1]:
        try:
            return fetch(Remote(repository, name), missing_ok=True)
        except FileNotFoundError:
            continue
    return fetch(Remote(repository, names[-1]))
