"""The learned prompts: context vectors before the quality texts, and visual prompts for each image block."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grmp_plugin.network.towers import KeysValues, layer_norm, prompt_keys_values


class TextPrompt(nn.Module):
    """Context vectors shared by both quality texts.

    Shapes:
        ctx: (context tokens, text width), in place of the tokens of "X X X X".
    Source: CoOp, arXiv:2109.01134.
    """

    def __init__(self, context_tokens: int, width: int) -> None:
        super().__init__()
        self.ctx = nn.Parameter(torch.empty(context_tokens, width))

    def reset(self, generator: torch.Generator) -> None:
        """Draw the method's initial values, N(0, 0.02)."""
        with torch.no_grad():
            self.ctx.normal_(0, 0.02, generator=generator)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Insert the context after the start token: (T, L, width) -> (T, context tokens + L, width)."""
        ctx = self.ctx.to(embeddings.dtype).expand(len(embeddings), -1, -1)
        return torch.cat([embeddings[:, :1], ctx, embeddings[:, 1:]], dim=1)


class VisualPrompts(nn.Module):
    """Learnable tokens for every image block, with one projection for all.

    Shapes:
        prompt_embeddings: (1, prompts, width), for the first block.
        deep_prompt_embeddings: (blocks - 1, prompts, width), for the other blocks.
    Source: VPT-deep, arXiv:2203.12119.
    """

    def __init__(self, blocks: int, prompts: int, width: int, dropout: float) -> None:
        super().__init__()
        self.prompt_embeddings = nn.Parameter(torch.empty(1, prompts, width))
        self.deep_prompt_embeddings = nn.Parameter(torch.empty(blocks - 1, prompts, width))
        self.prompt_proj = nn.Linear(width, width)
        self.prompt_norm = nn.LayerNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)

    def reset(self, generator: torch.Generator, patch_values: int) -> None:
        """Draw VPT's initial values.

        Args:
            generator: Random generator.
            patch_values: Values in one image patch (3 x patch height x patch width).
        """
        width = self.prompt_norm.normalized_shape[0]
        bound = (6 / (patch_values + width)) ** 0.5
        with torch.no_grad():
            self.prompt_embeddings.uniform_(-bound, bound, generator=generator)
            self.deep_prompt_embeddings.uniform_(-bound, bound, generator=generator)
            nn.init.kaiming_normal_(self.prompt_proj.weight, mode="fan_out", generator=generator)
            self.prompt_proj.bias.zero_()
            self.prompt_norm.weight.fill_(1)
            self.prompt_norm.bias.zero_()

    def keys_values(
        self, blocks: Sequence[Any], batch: int = 1, numbers: Sequence[int] | None = None
    ) -> dict[int, KeysValues]:
        """Keys and values of the prompts in image blocks, by the block's index.

        In training mode with dropout, one mask is drawn per image and block, before the block's LayerNorm, so
        that keys and values share it.

        Args:
            blocks: Blocks of the image tower.
            batch: Number of images; without dropout the result has batch 1 and holds for any number.
            numbers: Indices of the blocks that are wanted; None: all.
        """
        embeddings = torch.cat([self.prompt_embeddings, self.deep_prompt_embeddings])
        projected = self.prompt_proj(embeddings.to(self.prompt_proj.weight.dtype))
        wanted = range(len(blocks)) if numbers is None else numbers
        if self.training and self.dropout.p > 0:
            return {
                i: prompt_keys_values(blocks[i], self.dropout(projected[i].expand(batch, -1, -1)))
                for i in wanted
            }
        return {i: prompt_keys_values(blocks[i], projected[i].unsqueeze(0)) for i in wanted}

    def finish(self, class_token: Tensor) -> Tensor:
        """`prompt_norm` of the class token after the last block: (B, width), at least float32."""
        x = class_token.to(torch.promote_types(class_token.dtype, torch.float32))
        return layer_norm(self.prompt_norm, x)
