"""The authors' network with the weights of the golden numbers' recipe, loaded as a user loads their file."""

import copy
import hashlib
import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize

DATA = Path(__file__).parent / "data"
BASE_SEED = 19


def _rule(key: str, n: np.ndarray) -> np.ndarray:
    """The recipe's value of a tensor, from standard normal numbers; the first rule that fits counts."""
    rules = [
        (key == "logit_scale", lambda: np.full_like(n, math.log(100))),
        ("ln_" in key or "prompt_norm" in key, lambda: 1 + 0.1 * n if key.endswith("weight") else 0.05 * n),
        (key.endswith("bias"), lambda: 0.02 * n),
        (key.endswith("conv1.weight"), lambda: n / math.sqrt(768)),
        (key in ("visual.proj", "text_projection"), lambda: n / math.sqrt(n.shape[0])),
        ("token_embedding" in key or key.endswith("ctx"), lambda: 0.02 * n),
        ("positional_embedding" in key, lambda: 0.01 * n),
        ("class_embedding" in key, lambda: 0.5 * n),
        ("prompt_embeddings" in key, lambda: 0.3 * n),
        ("in_proj" in key, lambda: (1.5 if "visual." in key else 2.0) * n / math.sqrt(n.shape[1])),
        ("out_proj" in key or "c_proj" in key, lambda: 0.5 * n / math.sqrt(n.shape[1])),
        (True, lambda: n / math.sqrt(n.shape[1])),
    ]
    return next(value() for fits, value in rules if fits)


def _clip_name(key: str) -> str:
    """The name, in OpenAI's CLIP, by which the recipe knows a tensor of the authors' checkpoint."""
    if "prompt" in key:
        return key
    return key.replace("image_encoder.", "visual.", 1).removeprefix("text_encoder.")


@pytest.fixture(scope="session")
def spec():
    """Names, shapes, token numbers and fingerprints of the authors' checkpoints."""
    return json.loads((DATA / "checkpoint_spec.json").read_text())


@pytest.fixture(scope="session")
def numbers():
    """The golden numbers of the forward pass, by name."""
    with np.load(DATA / "forward.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def qgr_numbers():
    """The golden numbers of one step of few-shot training, by name."""
    with np.load(DATA / "qgr.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def meta_numbers():
    """The golden numbers of meta-prompt pre-training, by name."""
    with np.load(DATA / "meta.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def authors_tensors(spec):
    """A fine-tuning checkpoint of the authors, without `module.`: 311 tensors, 600 MB."""
    fingerprints = dict(spec["sha256_f32_le"])

    def build(name, shape):
        n = np.random.default_rng(zlib.crc32(name.encode()) + BASE_SEED).standard_normal(shape)
        value = np.asarray(_rule(name, n)).astype(np.float16).astype(np.float32)
        if name in fingerprints:
            assert hashlib.sha256(value.tobytes()).hexdigest() == fingerprints.pop(name), name
        return torch.from_numpy(value)

    fixed = {"prompt_learner2.token_prefix": slice(0, 1), "prompt_learner2.token_suffix": slice(5, 77)}
    tensors = {
        key: build(_clip_name(key), shape)
        for key, shape in spec["finetune_shapes"].items()
        if key not in fixed
    }
    ids = torch.zeros(2, 77, dtype=torch.long)
    for row, text in zip(ids, spec["token_ids"]["student_quality"].values(), strict=True):
        row[: len(text)] = torch.tensor(text)
    for key, positions in fixed.items():
        tensors[key] = tensors["text_encoder.token_embedding.weight"][ids[:, positions]]
    assert not fingerprints, "never built"
    return {key: tensors[key] for key in spec["finetune_shapes"]}


@pytest.fixture(scope="session")
def stand_in(spec):
    """The same names and shapes, one number for all entries of a tensor: a file of it has some 100 kB."""
    same = ("token_embedding", "token_prefix", "token_suffix")
    return {
        key: torch.tensor(0.25 if any(part in key for part in same) else i / 512).expand(shape)
        for i, (key, shape) in enumerate(spec["finetune_shapes"].items())
    }


@pytest.fixture(scope="session")
def network(authors_tensors, tmp_path_factory):
    """The network in float32, from a file with `module.` before all names."""
    path = tmp_path_factory.mktemp("authors") / "finetuned.pt"
    torch.save({f"module.{name}": t for name, t in authors_tensors.items()}, path)
    network = GRMPIQA(pretrained_model_path=str(path))
    path.unlink()
    return network


@pytest.fixture(scope="session")
def network64(network):
    """The network in float64."""
    return copy.deepcopy(network).double()


@pytest.fixture(scope="session")
def images(numbers):
    """The six images, (6, 3, 244, 244) in [0, 1]."""
    return torch.from_numpy(numbers["images_u8"]).float() / 255


@pytest.fixture(scope="session")
def pixels(images):
    """Their central 224 x 224 pixels, normalised in float32."""
    return normalize(images[..., 10:234, 10:234], PreprocessConfig())


@pytest.fixture(scope="session")
def plain_form():
    """The module tests/support/plain_form.py."""
    import plain_form

    return plain_form
