"""CLIP's two towers as modules: open_clip's names, shapes and initial values, without importing open_clip.

`import open_clip` takes longer than scoring a few images, because it imports transformers, timm and
torchvision. The modules here hold tensors; the forward passes are in towers.py. On the meta device no random
numbers are drawn, as the first one costs a second of imports in torch.

Initial values are those of "Learning Transferable Visual Models From Natural Language Supervision",
arXiv:2103.00020, drawn in open_clip's order, so that a seed gives the same network as open_clip.
"""

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Config = TypeVar("Config", "VisionConfig", "TextConfig")

# Options of open_clip's towers that affect neither tensors nor anything computed here.
_WITHOUT_EFFECT = {
    *("block_type", "pool_type", "pos_embed_type"),  # clip.py refuses other values than CLIP's
    *("attn_pooler_queries", "attn_pooler_heads", "output_tokens", "final_ln_after_pool"),
    *("timm_pool", "timm_proj", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type", "pad_id", "eos_id"),
}


@dataclass(frozen=True)
class VisionConfig:
    """The supported options of open_clip's `vision_cfg`, with open_clip's defaults."""

    width: int = 768  # of a token
    layers: int = 12  # blocks
    head_width: int = 64
    mlp_ratio: float = 4.0  # hidden units of an MLP, relative to the width
    patch_size: int | tuple[int, int] = 16  # pixels
    image_size: int | tuple[int, int] = 224  # pixels
    ls_init_value: float | None = None  # initial layer scale; None: no layer scale
    no_ln_pre: bool = False  # no LayerNorm before the first block


@dataclass(frozen=True)
class TextConfig:
    """The supported options of open_clip's `text_cfg`, with open_clip's defaults."""

    width: int = 512  # of a token
    layers: int = 12  # blocks
    heads: int = 8
    mlp_ratio: float = 4.0
    ls_init_value: float | None = None
    context_length: int = 77  # tokens
    vocab_size: int = 49408  # rows of the token embedding
    proj_type: str = "linear"  # 'none': no projection
    proj_bias: bool = False


class QuickGELU(nn.Module):
    """The approximation of GELU that OpenAI's CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(1.702 * x)


class LayerScale(nn.Module):
    """A learned factor for each channel. Source: arXiv:2103.17239."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return x * self.gamma


class Block(nn.Module):
    """The tensors of one block: attention and an MLP, each after a LayerNorm."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, layer_scale: float | None, activation: type[nn.Module]
    ) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ls_1 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.ln_2 = nn.LayerNorm(width)
        layers = [
            ("c_fc", nn.Linear(width, hidden)),
            ("gelu", activation()),
            ("c_proj", nn.Linear(hidden, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ls_2 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)


class Transformer(nn.Module):
    """A stack of blocks, as open_clip names it."""

    def __init__(self, config: VisionConfig | TextConfig, heads: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            Block(config.width, heads, config.mlp_ratio, config.ls_init_value, activation)
            for _ in range(config.layers)
        )


class VisionTransformer(nn.Module):
    """The image tower, read at its class token."""

    conv1: Any  # a trunk may replace it

    def __init__(self, config: VisionConfig, embed_dim: int, activation: type[nn.Module]) -> None:
        super().__init__()
        width, scale = config.width, config.width**-0.5
        patch, image = _pair(config.patch_size), _pair(config.image_size)
        patches = (image[0] // patch[0]) * (image[1] // patch[1])
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(_normal(width, std=scale))
        self.positional_embedding = nn.Parameter(_normal(patches + 1, width, std=scale))
        self.ln_pre = nn.Identity() if config.no_ln_pre else nn.LayerNorm(width)
        self.transformer = Transformer(config, width // config.head_width, activation)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(_normal(width, embed_dim, std=scale))


class CLIP(nn.Module):
    """Image tower, text tower and temperature of a plain CLIP.

    Args:
        embed_dim: Dimension of the shared embedding of images and texts.
        vision_cfg: Options of the image tower, by the names in `VisionConfig`.
        text_cfg: Options of the text tower, by the names in `TextConfig`.
        quick_gelu: Use OpenAI's activation instead of GELU.
        init_logit_scale: Logarithm of the inverse temperature.
        init_logit_bias: Bias of the logits; None for no bias.
        nonscalar_logit_scale: Store scale and bias as vectors of one number.
    """

    def __init__(
        self,
        embed_dim: int,
        vision_cfg: Mapping[str, Any],
        text_cfg: Mapping[str, Any],
        quick_gelu: bool = False,
        init_logit_scale: float = math.log(1 / 0.07),
        init_logit_bias: float | None = None,
        nonscalar_logit_scale: bool = False,
    ) -> None:
        super().__init__()
        activation = QuickGELU if quick_gelu else nn.GELU
        text = _known(TextConfig, text_cfg)
        self.visual = VisionTransformer(_known(VisionConfig, vision_cfg), embed_dim, activation)
        words = _normal(text.vocab_size, text.width)  # before the blocks, as open_clip draws them
        self.transformer = Transformer(text, text.heads, activation)
        self.token_embedding = nn.Embedding.from_pretrained(words, freeze=False)
        self.ln_final = nn.LayerNorm(text.width)
        self.positional_embedding = nn.Parameter(torch.empty(text.context_length, text.width))
        self.text_projection: nn.Linear | nn.Parameter | None = None
        if text.proj_type != "none" and text.proj_bias:
            self.text_projection = nn.Linear(text.width, embed_dim)
        elif text.proj_type != "none":
            self.text_projection = nn.Parameter(torch.empty(text.width, embed_dim))
        shape = (1,) if nonscalar_logit_scale else ()
        self.logit_scale = nn.Parameter(torch.full(shape, init_logit_scale))
        self.logit_bias = None
        if init_logit_bias is not None:
            self.logit_bias = nn.Parameter(torch.full(shape, init_logit_bias))
        if not self.logit_scale.is_meta:
            self._draw_text_tower()

    def _draw_text_tower(self) -> None:
        """Draw CLIP's initial values of the text tower; the image tower keeps torch's."""
        blocks: Any = self.transformer.resblocks
        width = self.positional_embedding.shape[1]
        residual = width**-0.5 * (2 * len(blocks)) ** -0.5
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        for block in blocks:
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=residual)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=residual)
        if isinstance(self.text_projection, nn.Linear):
            nn.init.normal_(self.text_projection.weight, std=width**-0.5)
            nn.init.zeros_(self.text_projection.bias)
        elif self.text_projection is not None:
            nn.init.normal_(self.text_projection, std=width**-0.5)


def unknown_options(architecture: Mapping[str, Any]) -> list[str]:
    """Options, as `tower.name`, that an architecture sets and these modules do not support."""
    return [
        f"{tower}.{name}"
        for tower, config in (("vision_cfg", VisionConfig), ("text_cfg", TextConfig))
        for name, value in architecture.get(tower, {}).items()
        if value and name not in _names(config) | _WITHOUT_EFFECT
    ]


def _known(config: type[Config], options: Mapping[str, Any]) -> Config:
    return config(**{name: value for name, value in options.items() if name in _names(config)})


def _names(config: "type[VisionConfig] | type[TextConfig]") -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def _normal(*shape: int, std: float = 1.0) -> Tensor:
    """Normal random numbers; on the meta device an empty tensor of that shape."""
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_() * std


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
