"""Initial values: prompts as the method starts them, and a CLIP without any training."""

import torch
from torch import Tensor

from grmp_plugin.config import NetworkConfig
from grmp_plugin.network.clip import architecture_of, build_clip
from grmp_plugin.network.prompts import TextPrompt, VisualPrompts


def initial_prompts(config: NetworkConfig, seed: int) -> dict[str, Tensor]:
    """Prompts as the method starts them, by their names in `GRMPIQA.state_dict()`."""
    architecture = architecture_of(config.backbone)
    vision = architecture["vision_cfg"]
    generator = torch.Generator().manual_seed(seed)
    text = TextPrompt(config.context_tokens, architecture["text_cfg"]["width"])
    text.reset(generator)
    visual = VisualPrompts(vision["layers"], config.visual_prompts, vision["width"], config.prompt_dropout)
    visual.reset(generator, patch_values=3 * vision["patch_size"] ** 2)
    return {
        **{f"text_prompt.{name}": t for name, t in text.state_dict().items()},
        **{f"visual_prompts.{name}": t for name, t in visual.state_dict().items()},
    }


def untrained_backbone(config: NetworkConfig, vocabulary: Tensor, seed: int) -> dict[str, Tensor]:
    """A randomly initialised CLIP with the given words, to be trained from nothing.

    Args:
        config: the network's configuration.
        vocabulary: sorted CLIP token numbers (V,) of the words it is to know.
        seed: of the initialisation; torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = build_clip(config.backbone, len(vocabulary), device="cpu")
    tensors = {f"clip.{name}": t for name, t in clip.state_dict().items()}
    return {**tensors, "vocabulary": vocabulary}
