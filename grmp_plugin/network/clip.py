"""open_clip backbones: supported architectures, and construction without weights."""

import copy
import dataclasses
import json
from typing import Any

import torch

from grmp_plugin.config import BackboneConfig
from grmp_plugin.errors import BackboneError, ConfigError
from grmp_plugin.network.clip_modules import CLIP, ClipConfig, clip_config, unknown_options
from grmp_plugin.network.open_clip_files import open_clip_file
from grmp_plugin.network.trunk import ConvTrunk
from grmp_plugin.plain_data import shown
from grmp_plugin.suggest import did_you_mean

_SUPPORTED = (
    "Supported: open_clip models with a plain CLIP text tower and an image tower of open_clip's "
    "VisionTransformer class, read at its class token, such as ViT-B-16-quickgelu, ViT-B-32-quickgelu, "
    "ViT-L-14-quickgelu with OpenAI's weights, and ViT-H-14 with a choice of weights (laion2b_s32b_b79k)."
)


def architecture_of(config: BackboneConfig) -> dict[str, Any]:
    """open_clip's model configuration of a backbone, checked to be supported.

    Raises:
        BackboneError: For an unknown name or an unsupported architecture; the message says what is supported.
    """
    if config.architecture is not None:
        architecture = copy.deepcopy(config.architecture)
    else:
        architecture = _listed_architecture(config.name)
    for section in ("vision_cfg", "text_cfg"):
        if not isinstance(architecture.get(section), dict):
            raise BackboneError(f"the architecture of backbone {shown(config.name)} has no section {section}")
    if "stem" in architecture:
        raise BackboneError(
            "this checkpoint was made from the embedded model of an earlier release, whose architecture is "
            "no longer supported. Adapt the current model to the same ratings"
        )
    reason = _unsupported(architecture)
    if reason:
        raise BackboneError(f"backbone {shown(config.name)} cannot be used: {reason}. {_SUPPORTED}")
    return architecture


def clip_config_of(config: BackboneConfig) -> ClipConfig:
    """Sizes and options of a backbone.

    Raises:
        BackboneError: As `architecture_of`, or for a value of the wrong type or out of bounds.
    """
    try:
        return clip_config(architecture_of(config), f"architecture of backbone {shown(config.name)}")
    except ConfigError as error:
        raise BackboneError(str(error)) from error


def build_clip(config: BackboneConfig, vocabulary_size: int | None = None, device: str = "meta") -> Any:
    """A CLIP with open_clip's names and no weights: all tensors are on the meta device, to be assigned.

    Args:
        config: Which backbone.
        vocabulary_size: Rows of the token embedding, if it holds only some of CLIP's words.
        device: Any other device gives random weights, to train from scratch.
    """
    sizes = clip_config_of(config)
    if vocabulary_size is not None:
        text = dataclasses.replace(sizes.text_cfg, vocab_size=vocabulary_size)
        sizes = dataclasses.replace(sizes, text_cfg=text)
    with torch.device(device):
        clip = CLIP(sizes)
        if sizes.trunk is not None:
            clip.visual.conv1 = ConvTrunk(sizes.vision_cfg.width, sizes.trunk.variant, sizes.trunk.hidden)
    return clip


def _listed_architecture(name: str) -> dict[str, Any]:
    """open_clip's configuration of a model that it lists, read without importing open_clip if possible.

    Raises:
        BackboneError: For an unknown name.
    """
    listed = {file.stem: file for file in open_clip_file("model_configs").glob("*.json")}
    if name in listed:
        result: dict[str, Any] = json.loads(listed[name].read_text(encoding="utf-8"))
        return result
    import open_clip  # also knows models that were added at run time

    found = open_clip.get_model_config(name)
    if found is None:
        raise BackboneError(_unknown_name(name, open_clip.list_models()))
    configuration: dict[str, Any] = found
    return configuration


def _unknown_name(name: str, known: list[str]) -> str:
    hint = did_you_mean(name, known, count=3) or "open_clip.list_models() lists the names."
    return f"open_clip has no model '{name}'. {hint}"


def _unsupported(architecture: dict[str, Any]) -> str | None:
    """Why a model of this configuration is unsupported; None if it is supported."""
    vision, text = architecture["vision_cfg"], architecture["text_cfg"]
    checks = [
        ("multimodal_cfg" in architecture, "it is a CoCa, with a captioning tower"),
        (bool(vision.get("timm_model_name")), "its image tower comes from timm"),
        (isinstance(vision.get("layers"), list | tuple), "its image tower is a ResNet"),
        (bool(vision.get("attentional_pool")), "its image tower ends in attention pooling"),
        (vision.get("pool_type", "tok") != "tok", "its image tower averages its tokens"),
        (bool(vision.get("patch_dropout")), "its image tower drops patches"),
        (bool(text.get("hf_model_name")), "its text tower comes from transformers"),
        (bool(text.get("hf_tokenizer_name")), "its texts need a tokenizer other than CLIP's"),
        (bool(architecture.get("custom_text")), "its text tower is not CLIP's"),
        (bool(text.get("no_causal_mask")), "its text tower is not causal"),
        (bool(text.get("embed_cls")), "its text tower is read at a class token"),
        (text.get("pool_type", "argmax") != "argmax", "its texts are not read at the end-of-text token"),
        (any(_has_custom_blocks(tower) for tower in (vision, text)), "its blocks are not CLIP's"),
        (vision.get("pos_embed_type", "learnable") != "learnable", "its image positions are not learned"),
    ]
    unknown = unknown_options(architecture)
    if unknown:
        checks.append((True, f"it has unsupported options ({', '.join(unknown)})"))
    return next((reason for applies, reason in checks if applies), None)


def _has_custom_blocks(tower: dict[str, Any]) -> bool:
    flags = ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc")
    return tower.get("block_type") == "custom" or any(tower.get(flag) for flag in flags)
