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
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from grmp_plugin.config import Between, Side, check_bounds, from_dict
from grmp_plugin.errors import ConfigError
from grmp_plugin.network.trunk import CELL, TrunkConfig

# Options of open_clip's towers that affect neither tensors nor anything computed here.
_WITHOUT_EFFECT = {
    *("block_type", "pool_type", "pos_embed_type"),  # clip.py refuses other values than CLIP's
    *("attn_pooler_queries", "attn_pooler_heads", "output_tokens", "final_ln_after_pool"),
    *("timm_pool", "timm_proj", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type", "pad_id", "eos_id"),
}


_Width = Annotated[int, Between(1, 16384)]
_Layers = Annotated[int, Between(1, 128)]
_Ratio = Annotated[float, Between(0, 32, above=True)]
_MOST_WEIGHTS = 5e9  # open_clip's largest has 2.5e9


def _check_width(width: int, heads: int, mlp_ratio: float) -> None:
    if heads < 1 or width % heads:
        raise ConfigError(f"the width {width} cannot be divided into heads")
    if int(width * mlp_ratio) < 1:
        raise ConfigError(f"mlp_ratio: {mlp_ratio} of the width {width} is no hidden unit")


@dataclass(frozen=True)
class VisionConfig:
    """The supported options of open_clip's `vision_cfg`, with open_clip's defaults."""

    width: _Width = 768  # of a token
    layers: _Layers = 12  # blocks
    head_width: _Width = 64
    mlp_ratio: _Ratio = 4.0  # hidden units of an MLP, relative to the width
    patch_size: Side | tuple[Side, Side] = 16  # pixels
    image_size: Side | tuple[Side, Side] = 224  # pixels
    ls_init_value: float | None = None  # initial layer scale; None: no layer scale
    no_ln_pre: bool = False  # no LayerNorm before the first block

    def __post_init__(self) -> None:
        """Reject sizes that make no network."""
        check_bounds(self)
        _check_width(self.width, self.width // self.head_width, self.mlp_ratio)
        patch, image = pair(self.patch_size), pair(self.image_size)
        if patch[0] > image[0] or patch[1] > image[1]:
            raise ConfigError(
                f"patch_size: patches of {patch[0]} x {patch[1]} pixels are larger than the view"
            )

    @property
    def patches(self) -> int:
        """Number of patches of a view."""
        patch, image = pair(self.patch_size), pair(self.image_size)
        return (image[0] // patch[0]) * (image[1] // patch[1])

    @property
    def patch_values(self) -> int:
        """Number of values in a patch of three channels."""
        height, width = pair(self.patch_size)
        return 3 * height * width


@dataclass(frozen=True)
class TextConfig:
    """The supported options of open_clip's `text_cfg`, with open_clip's defaults."""

    width: _Width = 512  # of a token
    layers: _Layers = 12  # blocks
    heads: _Width = 8
    mlp_ratio: _Ratio = 4.0
    ls_init_value: float | None = None
    context_length: Annotated[int, Between(2, 4096)] = 77  # tokens
    vocab_size: Annotated[int, Between(1, 1_000_000)] = 49408  # rows of the token embedding
    proj_type: str = "linear"  # 'none': no projection
    proj_bias: bool = False

    def __post_init__(self) -> None:
        """Reject sizes that make no network."""
        check_bounds(self)
        _check_width(self.width, self.heads, self.mlp_ratio)


@dataclass(frozen=True)
class ClipConfig:
    """The supported options of open_clip's model configurations, and the convolutional trunk."""

    embed_dim: _Width  # of the shared embedding of images and texts
    vision_cfg: VisionConfig
    text_cfg: TextConfig
    quick_gelu: bool = False  # OpenAI's activation instead of GELU
    init_logit_scale: Annotated[float, Between(-10, 10)] = math.log(1 / 0.07)  # log of 1 / temperature
    init_logit_bias: Annotated[float, Between(-1000, 1000)] | None = None  # None: no bias
    nonscalar_logit_scale: bool = False  # scale and bias are vectors of one number
    trunk: TrunkConfig | None = None  # in place of the patch embedding

    def __post_init__(self) -> None:
        """Reject networks that do not fit together, or no machine."""
        check_bounds(self)
        if self.text_cfg.proj_type == "none" and self.text_cfg.width != self.embed_dim:
            raise ConfigError("text_cfg: proj_type: without a projection the width must be embed_dim")
        if self.trunk is not None and pair(self.vision_cfg.patch_size) != (CELL, CELL):
            raise ConfigError(f"vision_cfg: patch_size: must be {CELL} with a trunk")
        if self.trunk is not None and pair(self.vision_cfg.image_size)[0] % CELL:
            raise ConfigError(f"vision_cfg: image_size: must be a multiple of {CELL} with a trunk")
        towers = (self.vision_cfg, self.text_cfg)
        weights = sum(t.layers * (4 + 2 * t.mlp_ratio) * t.width**2 for t in towers)
        weights += self.vision_cfg.patches * self.vision_cfg.width
        weights += self.text_cfg.vocab_size * self.text_cfg.width
        if weights > _MOST_WEIGHTS:
            raise ConfigError(f"a network of {weights:.1e} weights; at most {_MOST_WEIGHTS:.0e} are possible")


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
        patch = pair(config.patch_size)
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(_normal(width, std=scale))
        self.positional_embedding = nn.Parameter(_normal(config.patches + 1, width, std=scale))
        self.ln_pre = nn.Identity() if config.no_ln_pre else nn.LayerNorm(width)
        self.transformer = Transformer(config, width // config.head_width, activation)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(_normal(width, embed_dim, std=scale))


class CLIP(nn.Module):
    """Image tower, text tower and temperature of a plain CLIP.

    Args:
        config: Sizes and options. The trunk is left to the caller.
    """

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        activation = QuickGELU if config.quick_gelu else nn.GELU
        text, embed_dim = config.text_cfg, config.embed_dim
        self.visual = VisionTransformer(config.vision_cfg, embed_dim, activation)
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
        shape = (1,) if config.nonscalar_logit_scale else ()
        self.logit_scale = nn.Parameter(torch.full(shape, config.init_logit_scale))
        self.logit_bias = None
        if config.init_logit_bias is not None:
            self.logit_bias = nn.Parameter(torch.full(shape, config.init_logit_bias))
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
    towers = [
        f"{tower}.{name}"
        for tower, config in _TOWERS.items()
        for name, value in architecture[tower].items()
        if value and name not in _names(config) | _WITHOUT_EFFECT
    ]
    known = _names(ClipConfig) | {"custom_text"}
    return towers + [name for name, value in architecture.items() if value and name not in known]


def clip_config(architecture: Mapping[str, Any], source: str) -> ClipConfig:
    """The sizes and options of an architecture that `unknown_options` has no objection to.

    Args:
        architecture: open_clip's model configuration, with sections for both towers.
        source: File or section, for messages.

    Raises:
        ConfigError: For a value of the wrong type or out of bounds.
    """
    known = {name: value for name, value in architecture.items() if name in _names(ClipConfig)}
    for tower, config in _TOWERS.items():
        known[tower] = {name: value for name, value in known[tower].items() if name in _names(config)}
    return from_dict(ClipConfig, known, source)


_TOWERS = {"vision_cfg": VisionConfig, "text_cfg": TextConfig}


def _names(config: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def _normal(*shape: int, std: float = 1.0) -> Tensor:
    """Normal random numbers; on the meta device an empty tensor of that shape."""
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_() * std


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of a size that may be given as one number."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
