"""CLIP's modules against open_clip's: the same tensors, the same initial values, the same features."""

import open_clip
import pytest
import torch

from grmp_plugin.config import BackboneConfig
from grmp_plugin.errors import BackboneError
from grmp_plugin.network.clip import architecture_of, build_clip
from grmp_plugin.network.clip_modules import CLIP, clip_config
from grmp_plugin.network.towers import embed_pixels, encode_image, encode_text, project_image

LISTED = (
    "ViT-B-16-quickgelu",
    "ViT-B-32",
    "ViT-bigG-14",
    "ViT-e-14",
    "ViT-S-16-alt",
    "ViT-M-32",
    "ViT-L-14-336",
)
SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"layers": 3, "width": 48, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
VISION, TEXT = SMALL["vision_cfg"], SMALL["text_cfg"]
OWN = {
    "GELU": SMALL,
    "QuickGELU": {**SMALL, "quick_gelu": True},
    "layer scale": {
        **SMALL,
        "vision_cfg": {**VISION, "ls_init_value": 0.5},
        "text_cfg": {**TEXT, "ls_init_value": 0.1},
    },
    "other shapes": {
        **SMALL,
        "vision_cfg": {**VISION, "mlp_ratio": 4.9231, "image_size": [32, 48], "patch_size": [8, 16]},
        "text_cfg": {**TEXT, "mlp_ratio": 2.0, "proj_bias": True},
    },
    "without": {
        **SMALL,
        "embed_dim": 32,
        "vision_cfg": {**VISION, "no_ln_pre": True},
        "text_cfg": {**TEXT, "proj_type": "none"},
    },
    "logits": {**SMALL, "init_logit_scale": 2.0, "init_logit_bias": -10.0, "nonscalar_logit_scale": True},
    # Said, but as CLIP has it, or of no consequence.
    "plain words": {
        **SMALL,
        "vision_cfg": {**VISION, "pool_type": "tok", "block_type": "default", "patch_dropout": 0.0},
        "text_cfg": {**TEXT, "pool_type": "argmax", "eos_id": 2, "no_causal_mask": False},
    },
}
# Older versions of open_clip do not know these words.
for tower, name, known in (
    ("vision_cfg", "block_type", open_clip.model.CLIPVisionCfg),
    ("text_cfg", "eos_id", open_clip.model.CLIPTextCfg),
):
    if name not in known.__dataclass_fields__:
        del OWN["plain words"][tower][name]
own = pytest.mark.parametrize("architecture", OWN.values(), ids=OWN)


def shapes(module):
    return [(name, tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()]


def pair(architecture):
    """Our CLIP and open_clip's with the same weights, none of which is 0 or 1."""
    theirs = open_clip.CLIP(**architecture).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    ours = CLIP(clip_config(architecture, "x"))
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("name", LISTED)
def test_tensors_of_a_listed_model(name):
    architecture = open_clip.get_model_config(name)
    with torch.device("meta"):
        theirs = open_clip.CLIP(**architecture)
    ours = build_clip(BackboneConfig(name))
    assert shapes(ours) == shapes(theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert all(parameter.is_meta and parameter.requires_grad for parameter in ours.parameters())


@own
def test_tensors_and_initial_values(architecture):
    """Bit for bit, so that a seed trains the same network whoever built it."""
    torch.manual_seed(5)
    theirs = open_clip.CLIP(**architecture)
    torch.manual_seed(5)
    ours = CLIP(clip_config(architecture, "x"))
    assert shapes(ours) == shapes(theirs)
    for (name, found), wanted in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(found, wanted), name


@own
def test_features(architecture):
    ours, theirs = pair(architecture)
    generator = torch.Generator().manual_seed(2)
    size = architecture["vision_cfg"]["image_size"]
    pixels = torch.randn(3, 3, *(size if isinstance(size, list) else (size, size)), generator=generator)
    ids = torch.randint(1, 49000, (4, 20), generator=generator)
    end = torch.tensor([3, 19, 8, 12])
    ids[torch.arange(4), end] = 49407
    with torch.no_grad():
        images = project_image(ours.visual, encode_image(ours.visual, embed_pixels(ours.visual, pixels)))
        texts = encode_text(ours, ours.token_embedding(ids), end)
        torch.testing.assert_close(images, theirs.encode_image(pixels, normalize=True), rtol=0, atol=1e-6)
        torch.testing.assert_close(texts, theirs.encode_text(ids, normalize=True), rtol=0, atol=1e-6)
    assert images.std(dim=0).min() > 1e-3 < texts.std(dim=0).min()  # otherwise equality says little


def test_names_and_options_are_read_as_open_clip_reads_them():
    for name in LISTED:
        assert architecture_of(BackboneConfig(name)) == open_clip.get_model_config(name)


def test_models_added_to_open_clip_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(
        open_clip.factory, "_MODEL_CONFIGS", {**open_clip.factory._MODEL_CONFIGS, "added": SMALL}
    )
    assert architecture_of(BackboneConfig("added")) == SMALL


@pytest.mark.parametrize(
    ("tower", "option"),
    [
        ("vision_cfg", {"norm_kwargs": {"eps": 1e-6}}),
        ("vision_cfg", {"act_kwargs": {"approximate": "tanh"}}),
        ("text_cfg", {"tokenizer_kwargs": {"clean": "canonicalize"}}),
        ("text_cfg", {"widht": 512}),
    ],
)
def test_options_that_are_not_built_are_refused(tower, option):
    (name,) = option
    architecture = {**SMALL, tower: {**SMALL[tower], **option}}
    with pytest.raises(BackboneError, match=f"{tower}.{name}"):
        architecture_of(BackboneConfig("own", None, architecture))


def test_positions_that_are_not_learned_are_refused():
    architecture = {**SMALL, "vision_cfg": {**VISION, "pos_embed_type": "sin_cos_2d"}}
    with pytest.raises(BackboneError, match="positions"):
        architecture_of(BackboneConfig("own", None, architecture))
