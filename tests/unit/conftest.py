"""A small random network, for tests that do not depend on trained weights."""

import copy
import functools

import pytest
import torch

from grmp_plugin.config import BackboneConfig, NetworkConfig, PreprocessConfig
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.initial import initial_prompts, untrained_backbone
from grmp_plugin.network.texts import vocabulary_of

ARCHITECTURE = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"layers": 3, "width": 48, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
# Differences from ARCHITECTURE, by name.
VARIANTS = {
    "vit": {},
    "layer scale": {"vision_cfg": {"ls_init_value": 0.5}, "text_cfg": {"ls_init_value": 0.5}},
    "trunk": {"vision_cfg": {"patch_size": 32}, "trunk": {"variant": "lite0", "hidden": 8}},
    "other options": {
        "quick_gelu": False,
        "vision_cfg": {"no_ln_pre": True, "mlp_ratio": 3.0},
        "text_cfg": {"proj_bias": True},
    },
}
SQUASH = PreprocessConfig(size=32, resize=36)
CROPS = PreprocessConfig(kind="crops", size=32, short_side=64)


def _merged(base, changes):
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = _merged(base.get(key, {}), value) if isinstance(value, dict) else value
    return merged


@functools.cache
def _checkpoint(variant: str, kind: str, seed: int) -> Checkpoint:
    config = NetworkConfig(
        backbone=BackboneConfig("small", None, _merged(ARCHITECTURE, VARIANTS[variant])),
        visual_prompts=5,
        preprocess={"squash": SQUASH, "crops": CROPS}[kind],
    )
    scenes = [config.scene_text.format(scene=scene) for scene in config.scenes]
    words = vocabulary_of([*config.quality_texts, *scenes])
    tensors = {**untrained_backbone(config, words, seed), **initial_prompts(config, seed)}
    generator = torch.Generator().manual_seed(seed)
    # Initial biases are 0 and LayerNorms are identities, which would hide omissions. The trunk, fifty layers
    # deep, would amplify the noise.
    tensors = {
        name: t + 0.15 * torch.randn(t.shape, generator=generator)
        if t.is_floating_point() and ".conv1.net." not in name
        else t
        for name, t in tensors.items()
    }
    return Checkpoint(config, tensors, {"licence": "none"})


@pytest.fixture(scope="session")
def small_checkpoint():
    """A function of (variant, preprocess kind, seed) that returns a checkpoint; its tensors are shared."""

    def make(variant: str = "vit", kind: str = "squash", seed: int = 0) -> Checkpoint:
        return _checkpoint(variant, kind, seed)

    return make


@pytest.fixture(scope="session")
def small_network(small_checkpoint):
    """A function of (variant, preprocess kind, seed) that returns a new network."""

    def make(variant: str = "vit", kind: str = "squash", seed: int = 0) -> GRMPIQA:
        return GRMPIQA(small_checkpoint(variant, kind, seed))

    return make


@pytest.fixture(scope="session")
def fresh():
    """A function that returns a new, unused network with the state of another."""

    def make(network: GRMPIQA) -> GRMPIQA:
        state = {name: t.detach().clone() for name, t in network.state_dict().items()}
        new = GRMPIQA(Checkpoint(network.config, copy.deepcopy(state)))
        new.load_state_dict(state, assign=True)  # precision and device too
        return new

    return make


@pytest.fixture
def transfers(monkeypatch):
    """Calls by which values leave tensors, so that a program waits for the device: a list that grows."""
    found: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__"):
        original = getattr(torch.Tensor, name)

        def counted(self, original=original):
            found.append(original.__name__)
            return original(self)

        monkeypatch.setattr(torch.Tensor, name, counted)
    return found


@pytest.fixture(scope="session")
def plain_form():
    """The module tests/support/plain_form.py."""
    import plain_form

    return plain_form
