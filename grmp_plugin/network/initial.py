"""Initial values: the method's initial prompts, and an untrained CLIP."""

import torch
from torch import Tensor

from grmp_plugin.config import NetworkConfig
from grmp_plugin.network.clip import build_clip, clip_config_of
from grmp_plugin.network.prompts import TextPrompt, VisualPrompts
from grmp_plugin.network.sizes import check_sizes


def initial_prompts(config: NetworkConfig, seed: int) -> dict[str, Tensor]:
    """The method's initial prompts, by their names in `GRMPIQA.state_dict()`."""
    sizes = clip_config_of(config.backbone)
    vision = sizes.vision_cfg
    check_sizes(config, sizes)
    generator = torch.Generator().manual_seed(seed)
    text = TextPrompt(config.context_tokens, sizes.text_cfg.width)
    text.reset(generator)
    visual = VisualPrompts(vision.layers, config.visual_prompts, vision.width, config.prompt_dropout)
    visual.reset(generator, patch_values=vision.patch_values)
    return {
        **{f"text_prompt.{name}": t for name, t in text.state_dict().items()},
        **{f"visual_prompts.{name}": t for name, t in visual.state_dict().items()},
    }


def untrained_backbone(config: NetworkConfig, vocabulary: Tensor, seed: int) -> dict[str, Tensor]:
    """A randomly initialised CLIP for a given vocabulary, to be trained from scratch.

    Args:
        config: Configuration of the network.
        vocabulary: (V,) sorted CLIP token numbers of its words.
        seed: Seed for the initialisation; torch's global generator is restored.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = build_clip(config.backbone, len(vocabulary), device="cpu")
    tensors = {f"clip.{name}": t for name, t in clip.state_dict().items()}
    return {**tensors, "vocabulary": vocabulary}
