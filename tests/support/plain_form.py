"""The network in its plain concatenated form, as in VPT and CLIP: the oracle of the tests.

Prompt tokens stand between class token and patches, all tokens pass through each block, the outputs of
prompts are discarded, attention is torch's own module, and texts have all 77 tokens. No code of the key/value
form is used. The folder of this file is on pytest's import path (see pyproject.toml).
"""

import functools

import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer

tokenizer = functools.cache(SimpleTokenizer)  # half a second to make


def block_forward(block, x, mask=None):
    """One block on all tokens: (B, L, width) -> (B, L, width)."""
    normed = block.ln_1(x)
    x = x + block.ls_1(block.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0])
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def image_features(network, pixels, masks=None):
    """(B, 3, S, S), normalised -> (B, D).

    masks: what dropout multiplies by, (B, prompts, width) for each block.
    """
    visual, prompts = network.clip.visual, network.visual_prompts
    if hasattr(visual.conv1, "embed"):  # a trunk gives tokens, and a summary for the class token
        x, summary = visual.conv1(pixels)
    else:
        x, summary = visual.conv1(pixels).flatten(2).transpose(1, 2), torch.zeros(())
    first = (visual.class_embedding + summary).expand(len(x), -1)[:, None]
    x = torch.cat([first, x], dim=1)
    x = visual.ln_pre(x + visual.positional_embedding)
    tokens = torch.cat([prompts.prompt_embeddings, prompts.deep_prompt_embeddings])
    for i, block in enumerate(visual.transformer.resblocks):
        extra = prompts.prompt_proj(tokens[i]).expand(len(x), -1, -1)
        if masks is not None:
            extra = extra * masks[i]
        x = block_forward(block, torch.cat([x[:, :1], extra, x[:, 1:]], dim=1))
        x = torch.cat([x[:, :1], x[:, 1 + extra.shape[1] :]], dim=1)
    x = prompts.prompt_norm(x)
    return F.normalize(visual.ln_post(x)[:, 0] @ visual.proj, dim=-1)


def text_features(network, texts, context=None):
    """Features (T, D); context: (C, width), to stand behind the start token."""
    clip = network.clip
    ids = tokenizer()(list(texts), context_length=77)
    end = ids.argmax(dim=1)
    if network.vocabulary is not None:
        rows = {int(token): row for row, token in enumerate(network.vocabulary)}
        ids = torch.tensor([[rows[token] for token in text] for text in ids.tolist()])
    x = clip.token_embedding(ids)
    if context is not None:
        x = torch.cat([x[:, :1], context.expand(len(x), -1, -1), x[:, 1 : 77 - len(context)]], dim=1)
        end = end + len(context)
    x = x + clip.positional_embedding
    mask = torch.full((77, 77), float("-inf"), dtype=x.dtype).triu(1)
    for block in clip.transformer.resblocks:
        x = block_forward(block, x, mask)
    x = clip.ln_final(x)[torch.arange(len(x)), end]
    projection = clip.text_projection
    return F.normalize(projection(x) if callable(projection) else x @ projection, dim=-1)


def quality_logits(network, pixels, masks=None):
    """(B, 3, S, S), normalised -> (B, 2)."""
    texts = text_features(network, network.config.quality_texts, network.text_prompt.ctx)
    return network.clip.logit_scale.exp() * image_features(network, pixels, masks) @ texts.T


def scene_logits(network, pixels, masks=None):
    """(B, 3, S, S), normalised -> (B, scenes)."""
    texts = text_features(network, [network.config.scene_text.format(scene=s) for s in network.config.scenes])
    return network.clip.logit_scale.exp() * image_features(network, pixels, masks) @ texts.T
