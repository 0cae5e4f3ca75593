"""Baselines that take plain gradient steps on the quality loss, and differ in what they learn.

CoOp: arXiv:2109.01134. LoRA: arXiv:2106.09685.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.training.adapt_model import GRMPAdaptModel

_CONTEXT = "text_prompt.ctx"
_RANK = 4


class CoOpTrainer(GRMPAdaptModel):
    """Learns the context vectors of the two quality texts."""

    def learned_names(self) -> list[str]:
        """The context."""
        return [_CONTEXT]


class FineTuneTrainer(GRMPAdaptModel):
    """Learns the context, and all of the image tower after the patch embedding."""

    def learned_names(self) -> list[str]:
        """The context, all image blocks, and their final LayerNorm."""
        blocks = ("clip.visual.transformer.", "clip.visual.ln_post.")
        return [_CONTEXT, *(name for name, _ in self.net.named_parameters() if name.startswith(blocks))]


class LowRank(nn.Module):
    """A weight plus the product of two narrow matrices, which is zero at the start.

    Args:
        weight: (rows, columns).
        generator: Source of randomness, on the CPU.
    """

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape
        drawn = torch.randn(_RANK, columns, generator=generator) / columns**0.5
        self.down = nn.Parameter(drawn.to(weight))
        self.up = nn.Parameter(weight.new_zeros(rows, _RANK))

    def forward(self, weight: Tensor) -> Tensor:
        """The sum, in the shape of the weight."""
        return weight + self.up @ self.down


class LoRATrainer(GRMPAdaptModel):
    """Learns a low-rank change of the attention's weights in all image blocks; `merge` makes it permanent."""

    def init_training_settings(self) -> None:
        """Add the low-rank matrices before the parameters to learn are chosen."""
        generator = torch.Generator().manual_seed(self.seed)
        for block in _image_blocks(self.net):
            for module, name in ((block.attn, "in_proj_weight"), (block.attn.out_proj, "weight")):
                parametrize.register_parametrization(module, name, LowRank(getattr(module, name), generator))
        super().init_training_settings()

    def learned_names(self) -> list[str]:
        """The matrices."""
        return [name for name, _ in self.net.named_parameters() if name.endswith((".down", ".up"))]

    def merge(self) -> None:
        """Replace each weight by its sum with the change; no training is possible afterwards."""
        for block in _image_blocks(self.net):
            for module, name in ((block.attn, "in_proj_weight"), (block.attn.out_proj, "weight")):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


TRAINERS: dict[str, type[GRMPAdaptModel]] = {
    "coop": CoOpTrainer,
    "lora": LoRATrainer,
    "finetune": FineTuneTrainer,
}


def _image_blocks(network: GRMPIQA) -> Any:
    return network.clip.visual.transformer.resblocks
