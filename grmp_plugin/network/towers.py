"""The forward passes of CLIP's two towers, with prompts entering the image blocks as keys and values.

The output of a prompt token is never read (the next block has prompts of its own), so a block needs only the
prompts' keys and values: queries, attention output and MLP run for the image tokens alone. Without dropout
these keys and values do not depend on the image. The last block is read at its class token only, so there the
patches, too, contribute only keys and values.

The modules are in clip_modules.py. Source of the prompts: VPT-deep, arXiv:2203.12119.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grmp_plugin.network.trunk import ConvTrunk, TrunkStatistics


class KeysValues(NamedTuple):
    """Keys and values of one block's prompts, each (1 or B, heads, prompts, head width)."""

    keys: Tensor
    values: Tensor


def layer_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """LayerNorm in the precision of its parameters, result in the precision of `x`.

    Reduced-precision networks keep LayerNorm parameters in float32. An Identity is applied unchanged.
    """
    if not isinstance(norm, nn.LayerNorm):
        result: Tensor = norm(x)
        return result
    # On CPUs float32 parameters may be mixed with reduced-precision input; elsewhere the input is cast.
    mixed = x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16)
    y = x if mixed and norm.weight.dtype == torch.float32 else x.to(norm.weight.dtype)
    return F.layer_norm(y, norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(x.dtype)


def embed_pixels(visual: Any, pixels: Tensor) -> Tensor:
    """Input of the first block: class token and patches, with positions, after `ln_pre`.

    Args:
        visual: open_clip's VisionTransformer.
        pixels: (B, 3, S, S), normalised.

    Returns:
        (B, 1 + patches, width).
    """
    if isinstance(visual.conv1, ConvTrunk):
        return embed_statistics(visual, visual.conv1.net.statistics(pixels))
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    return embed_class_token(visual, visual.class_embedding.expand(len(patches), -1), patches)


def embed_statistics(visual: Any, statistics: TrunkStatistics) -> Tensor:
    """As `embed_pixels`, from a convolutional trunk's statistics of the pixels."""
    patches, summary = visual.conv1.embed(statistics)
    return embed_class_token(visual, visual.class_embedding + summary, patches)


def embed_class_token(visual: Any, class_token: Tensor, patches: Tensor) -> Tensor:
    """As `embed_pixels`, from class tokens (B, width) and patches (B, patches, width) without positions."""
    x = torch.cat([class_token.unsqueeze(1).to(patches.dtype), patches], dim=1)
    return layer_norm(visual.ln_pre, x + visual.positional_embedding.to(x.dtype))


def encode_image(
    visual: Any, tokens: Tensor, prompts: Mapping[int, KeysValues] | None = None, *, first: int = 0
) -> Tensor:
    """The class token after the last block.

    Args:
        visual: open_clip's VisionTransformer.
        tokens: (B, 1 + patches, width), from `embed_pixels`, or from `pass_blocks` for a later block.
        prompts: Keys and values by the block's index; None for plain CLIP.
        first: Index of the block that `tokens` enter.

    Returns:
        (B, width), before `ln_post` and the projection.
    """
    return pass_blocks(visual, tokens, prompts, range(first, len(visual.transformer.resblocks)))[:, 0]


def pass_blocks(
    visual: Any, tokens: Tensor, prompts: Mapping[int, KeysValues] | None, numbers: Sequence[int]
) -> Tensor:
    """Pass tokens through consecutive image blocks.

    Args:
        visual: open_clip's VisionTransformer.
        tokens: (B, 1 + patches, width), input of the first of these blocks.
        prompts: Keys and values by the block's index; None for plain CLIP.
        numbers: Indices of the blocks, in order.

    Returns:
        (B, 1 + patches, width); after the tower's last block only the class token, (B, 1, width).
    """
    blocks = visual.transformer.resblocks
    x = tokens.to(blocks[0].attn.in_proj_weight.dtype)
    for i in numbers:
        extra = prompts[i] if prompts is not None else None
        x = _block(blocks[i], x, extra, class_token_only=i == len(blocks) - 1)
    return x


def project_image(visual: Any, class_token: Tensor) -> Tensor:
    """CLIP's final LayerNorm and projection: (B, width) -> (B, D), L2-normalised, at least float32."""
    x = class_token.to(torch.promote_types(class_token.dtype, torch.float32))
    with torch.autocast(x.device.type, enabled=False):
        x = layer_norm(visual.ln_post, x)
        return F.normalize(x @ visual.proj.to(x.dtype), dim=-1)


def prompt_keys_values(block: Any, prompts: Tensor) -> KeysValues:
    """Keys and values of the prompts in one block.

    Args:
        block: An image block.
        prompts: (1 or B, prompts, width), dropout applied.
    """
    attn = block.attn
    width = attn.embed_dim
    x = layer_norm(block.ln_1, prompts).to(attn.in_proj_weight.dtype)
    keys, values = F.linear(x, attn.in_proj_weight[width:], attn.in_proj_bias[width:]).chunk(2, dim=-1)
    return KeysValues(_split_heads(keys, attn.num_heads), _split_heads(values, attn.num_heads))


def encode_text(clip: Any, embeddings: Tensor, end: Tensor) -> Tensor:
    """Text features at the end-of-text token.

    The encoder is causal, so tokens after the last end-of-text token can be left out.

    Args:
        clip: open_clip's CLIP.
        embeddings: (T, L, text width), token embeddings without positions.
        end: (T,) position of the end-of-text token of each text.

    Returns:
        (T, D), L2-normalised, at least float32.
    """
    tokens = pass_text_blocks(clip, embed_text(clip, embeddings), range(len(clip.transformer.resblocks)))
    return project_text(clip, tokens, end)


def embed_text(clip: Any, embeddings: Tensor) -> Tensor:
    """Input (T, L, text width) of the first text block, from token embeddings of that shape."""
    positions = clip.positional_embedding[: embeddings.shape[1]].to(embeddings.dtype)
    x: Tensor = (embeddings + positions).to(clip.transformer.resblocks[0].attn.in_proj_weight.dtype)
    return x


def pass_text_blocks(clip: Any, tokens: Tensor, numbers: Sequence[int]) -> Tensor:
    """Pass the tokens (T, L, text width) of texts through consecutive text blocks."""
    for i in numbers:
        tokens = _block(clip.transformer.resblocks[i], tokens, causal=True)
    return tokens


def project_text(clip: Any, tokens: Tensor, end: Tensor) -> Tensor:
    """Text features (T, D) from the tokens (T, L, text width) after the last block, as `encode_text`."""
    x = tokens[torch.arange(len(tokens), device=tokens.device), end]
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    x = layer_norm(clip.ln_final, x)
    projection = clip.text_projection
    if isinstance(projection, nn.Linear):
        x = F.linear(
            x, projection.weight.to(x.dtype), None if projection.bias is None else projection.bias.to(x.dtype)
        )
    elif projection is not None:
        x = x @ projection.to(x.dtype)
    return F.normalize(x, dim=-1)


def _block(
    block: Any,
    x: Tensor,
    extra: KeysValues | None = None,
    *,
    causal: bool = False,
    class_token_only: bool = False,
) -> Tensor:
    normed = layer_norm(block.ln_1, x)
    if class_token_only:
        x = x[:, :1]
    x = x + block.ls_1(_attention(block.attn, normed, extra, causal=causal, queries=x.shape[1]))
    result: Tensor = x + block.ls_2(block.mlp(layer_norm(block.ln_2, x)))
    return result


def _attention(attn: Any, x: Tensor, extra: KeysValues | None, *, causal: bool, queries: int) -> Tensor:
    """Multi-head attention from the first `queries` tokens of `x` to all of `x` and to `extra`."""
    width, heads = attn.embed_dim, attn.num_heads
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    if queries == x.shape[1]:
        q, k, v = F.linear(x, weight, bias).chunk(3, dim=-1)
    else:
        q = F.linear(x[:, :queries], weight[:width], bias[:width])
        k, v = F.linear(x, weight[width:], bias[width:]).chunk(2, dim=-1)
    q, k, v = (_split_heads(t, heads) for t in (q, k, v))
    if extra is not None:
        k = torch.cat([extra.keys.to(k.dtype).expand(len(k), -1, -1, -1), k], dim=2)
        v = torch.cat([extra.values.to(v.dtype).expand(len(v), -1, -1, -1), v], dim=2)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    result: Tensor = attn.out_proj(out.transpose(1, 2).flatten(2))
    return result


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, width) -> (B, heads, L, head width)."""
    result: Tensor = x.unflatten(-1, (heads, -1)).transpose(1, 2)
    return result
