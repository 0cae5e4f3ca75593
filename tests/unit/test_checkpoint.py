"""Checkpoint files: what is written is read back, what does not fit is named, and nothing is made up."""

import dataclasses
import json
import os
import stat
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from written_kinds import WRITES_COMPLEX

from grmp_plugin.config import BackboneConfig, NetworkConfig, PreprocessConfig, from_dict, to_dict
from grmp_plugin.errors import BackboneError, CheckpointError, ConfigError, VocabularyError
from grmp_plugin.network import checkpoint as checkpoint_module
from grmp_plugin.network.checkpoint import FORMAT, Checkpoint, read_checkpoint, write_checkpoint
from grmp_plugin.network.clip import architecture_of
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.initial import initial_prompts
from grmp_plugin.network.tensors import check_finite, read_tensors


@pytest.fixture
def small(small_checkpoint):
    return small_checkpoint()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "small.safetensors"


def score(model):
    network = model if isinstance(model, GRMPIQA) else GRMPIQA(model)
    x = torch.rand(4, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(x)


# --- writing and reading --------------------------------------------------------------------------


def test_round_trip_is_bit_identical(small, path):
    network = GRMPIQA(small)
    write_checkpoint(Checkpoint(network.config, network.state_dict(), {"seed": 3, "SRCC": 0.5}), path)
    found = read_checkpoint(path)
    assert found.config == small.config
    assert dict(found.info) == {"seed": 3, "SRCC": 0.5}
    assert found.source == str(path)
    assert found.tensors.keys() == network.state_dict().keys()
    for name, t in network.state_dict().items():
        assert found.tensors[name].dtype == t.dtype
        assert torch.equal(found.tensors[name], t), name
    again = GRMPIQA(pretrained_model_path=str(path))
    assert torch.equal(score(again), score(network))
    assert again.info == {"seed": 3, "SRCC": 0.5}


@pytest.mark.parametrize("kind", ["squash", "crops"])
@pytest.mark.parametrize("variant", ["layer scale", "trunk", "other options"])
def test_configuration_survives(small_checkpoint, path, variant, kind):
    checkpoint = small_checkpoint(variant, kind)
    write_checkpoint(checkpoint, path)
    assert read_checkpoint(path).config == checkpoint.config
    assert torch.equal(score(read_checkpoint(path)), score(checkpoint))


def test_half_precision(small, path):
    write_checkpoint(small, path, half=True)
    stored = read_checkpoint(path).tensors
    for name, t in small.tensors.items():
        assert stored[name].dtype == (torch.float16 if t.is_floating_point() else torch.int64)
        assert torch.equal(stored[name], t.half() if t.is_floating_point() else t)
    network = GRMPIQA(read_checkpoint(path))
    assert {t.dtype for t in network.state_dict().values()} == {torch.float32, torch.int64}
    torch.testing.assert_close(score(network), score(small), rtol=0, atol=2e-3)
    assert path.stat().st_size < 0.6 * sum(t.nbytes for t in small.tensors.values())
    # Written and read once more, nothing changes further.
    write_checkpoint(Checkpoint(network.config, network.state_dict()), path, half=True)
    assert torch.equal(score(read_checkpoint(path)), score(network))


def test_metadata_is_plain_json(small, path):
    write_checkpoint(dataclasses.replace(small, info={"licence": "Apache-2.0", "note": "Größe ✓"}), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata.keys() == {"grmp_format", "config", "info"}
    assert metadata["grmp_format"] == FORMAT == "grmp-iqa/1"
    assert json.loads(metadata["info"]) == {"licence": "Apache-2.0", "note": "Größe ✓"}
    assert json.loads(metadata["config"])["preprocess"]["resize"] == 36
    assert read_checkpoint(path).info["note"] == "Größe ✓"


def test_views_and_shared_tensors_are_written_whole(small, path):
    """Transposed, expanded and shared tensors, parameters with gradients."""
    tensors = {name: t.clone() for name, t in small.tensors.items()}
    tensors["visual_prompts.prompt_proj.weight"] = torch.nn.Parameter(torch.rand(48, 48)).t()
    tensors["visual_prompts.prompt_norm.weight"] = torch.tensor(1.0).expand(48)
    tensors["visual_prompts.prompt_norm.bias"] = tensors["visual_prompts.prompt_proj.bias"]
    write_checkpoint(dataclasses.replace(small, tensors=tensors), path)
    found = read_checkpoint(path).tensors
    assert all(torch.equal(found[name], t) for name, t in tensors.items())
    assert not any(t.requires_grad for t in found.values())


def test_path_may_be_text(small, path):
    write_checkpoint(small, str(path))
    assert read_checkpoint(str(path)).config == small.config


# --- replacing a file -----------------------------------------------------------------------------


def test_replacing(small, small_checkpoint, path):
    write_checkpoint(small, path)
    write_checkpoint(small_checkpoint(seed=1), path)
    assert torch.equal(score(read_checkpoint(path)), score(small_checkpoint(seed=1)))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("step", ["save_file", "replace"])
@pytest.mark.parametrize(
    "error", [OSError("No space left on device"), KeyboardInterrupt()], ids=["full disk", "ctrl-c"]
)
def test_failed_writing_leaves_the_old_file(small, small_checkpoint, path, monkeypatch, step, error):
    write_checkpoint(small, path)
    before = path.read_bytes()

    def fail(tensors, filename, *rest):
        if step == "save_file":
            Path(filename).write_bytes(b"half of it")
        raise error

    if step == "save_file":
        monkeypatch.setattr(checkpoint_module, "save_file", fail)
    else:
        for owner in (os, Path):  # before Python 3.11 the one does not call the other
            monkeypatch.setattr(owner, "replace", lambda source, target: fail(None, source))
    with pytest.raises(type(error)):
        write_checkpoint(small_checkpoint(seed=1), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_file_that_cannot_be_described_is_not_begun(small, path):
    with pytest.raises(TypeError):
        write_checkpoint(dataclasses.replace(small, info={"tensor": torch.zeros(1)}), path)
    assert not list(path.parent.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_file_is_as_readable_as_others(small, path):
    write_checkpoint(small, path)
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


# --- files that cannot be read --------------------------------------------------------------------


def rewrite(path, **changes):
    """Write the file again with other metadata."""
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    save_file(tensors, path, {key: value for key, value in metadata.items() if value is not None})


def test_format_of_a_later_version(small, path):
    write_checkpoint(small, path)
    rewrite(path, grmp_format="grmp-iqa/2")
    with pytest.raises(CheckpointError, match=r"grmp-iqa/2.*grmp-iqa/1") as caught:
        read_checkpoint(path)
    assert "upgrade" in str(caught.value)
    assert str(path) in str(caught.value)


def test_foreign_safetensors(path):
    for metadata in (None, {"format": "pt"}):
        save_file({"conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}, path, metadata)
        with pytest.raises(CheckpointError, match=r"neither.*2 tensors such as conv1.weight, fc.bias"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.update(visual_promts=8), r"unknown key 'visual_promts'.*'visual_prompts'"),
        (lambda c: c["preprocess"].update(rezise=1), r"preprocess: unknown key 'rezise'.*'resize'"),
        (lambda c: c["backbone"].update(weight="x"), r"backbone: unknown key 'weight'.*'weights'"),
        (lambda c: c.update(visual_prompts="many"), "visual_prompts.*many"),
        (lambda c: c.update(visual_prompts=0), "at least 1"),
        (lambda c: c.update(preprocess=3), "section"),
        (lambda c: c["preprocess"].update(kind="stretch"), "stretch"),
        (lambda c: c["preprocess"].update(scales=["a"]), "scales"),
    ],
)
def test_configuration_that_is_not_understood(small, path, change, named):
    write_checkpoint(small, path)
    config = to_dict(small.config)
    change(config)
    rewrite(path, config=json.dumps(config))
    with pytest.raises(CheckpointError, match=named) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        *({"config": text} for text in (None, "{", "[]")),
        *({"info": text} for text in (None, "x", "[1]", "3", "null", '{"a": 1e999}')),
        *({name: "[" * 100_000} for name in ("config", "info")),
        *({name: '{"a": ' + "9" * 5000 + "}"} for name in ("config", "info")),
    ],
    ids=lambda changes: str(changes)[:30],
)
def test_damaged_metadata(small, path, changes):
    write_checkpoint(small, path)
    rewrite(path, **changes)
    with pytest.raises(CheckpointError, match="metadata"):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_truncated_file(small, path, kept):
    write_checkpoint(small, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=path.name):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_truncated_file_of_pytorch(small, tmp_path, kept, zipped):
    path = tmp_path / "small.pt"
    torch.save(dict(small.tensors), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=r"small\.pt"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"this is only text\n",
        b"<!DOCTYPE html><title>404</title>",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\0" * 64,
    ],
    ids=["text", "page", "lfs pointer", "zeros"],
)
def test_file_of_another_kind(path, content):
    """It must not be called a pickled module, which people would be told to trust or to convert."""
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=path.name) as caught:
        read_checkpoint(path)
    assert "pickled module" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        read_checkpoint(tmp_path / "nowhere.safetensors")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path)  # a folder


def test_wrong_tensors_are_named(small, path):
    for change, named in [
        (
            lambda t: t.pop("visual_prompts.prompt_norm.bias"),
            r"1 tensor missing: visual_prompts\.prompt_norm\.bias",
        ),
        (lambda t: t.pop("clip.visual.proj"), r"1 tensor missing: clip\.visual\.proj"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 tensor unexpected: extra"),
        (lambda t: t.update({"text_prompt.ctx": torch.zeros(5, 32)}), "prompt.ctx is 5x32, expected 4x32"),
        (
            lambda t: t.update({"clip.logit_scale": torch.zeros(2)}),
            "logit_scale is 2, expected a single number",
        ),
    ]:
        tensors = dict(small.tensors)
        change(tensors)
        write_checkpoint(dataclasses.replace(small, tensors=tensors), path)
        with pytest.raises(CheckpointError, match=named) as caught:
            GRMPIQA(pretrained_model_path=str(path))
        assert str(path) in str(caught.value)


def test_several_problems_are_told_at_once(small):
    tensors = {name: t for name, t in small.tensors.items() if not name.startswith("visual_prompts.")}
    tensors["text_prompt.ctx"] = torch.zeros(1, 1)
    with pytest.raises(CheckpointError, match=r"6 tensors missing: .*, \.\.\.; 1 tensor of the wrong shape"):
        GRMPIQA(dataclasses.replace(small, tensors=tensors))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, -1e38])
@pytest.mark.parametrize("name", ["clip.visual.proj", "text_prompt.ctx", "clip.logit_scale"])
def test_numbers_that_are_not_finite_are_found_at_loading(small, path, name, value):
    tensors = {key: t.clone().double() if t.is_floating_point() else t for key, t in small.tensors.items()}
    tensors[name].view(-1)[0] = value
    write_checkpoint(dataclasses.replace(small, tensors=tensors), path)
    with pytest.raises(CheckpointError, match="NaN, infinite or beyond 1e\\+09") as caught:
        GRMPIQA(pretrained_model_path=str(path))
    assert str(path) in str(caught.value)
    assert f"'{name}' holds 1 values" in str(caught.value)


def test_large_numbers_are_accepted():
    many = torch.full((100_000,), 6e4)
    check_finite({"a": many, "b": many.half(), "c": -many.double(), "d": torch.empty(0)}, "x")


def test_temperature_that_overflows_is_refused(small):
    tensors = {**small.tensors, "clip.logit_scale": torch.tensor(100.0)}
    with pytest.raises(CheckpointError, match=r"clip\.logit_scale is 100, whose exponential overflows"):
        GRMPIQA(dataclasses.replace(small, tensors=tensors))


@pytest.mark.parametrize(
    ("name", "tensor", "named"),
    [
        pytest.param(
            "clip.visual.proj",
            torch.zeros(48, 32, dtype=torch.complex64),
            "'clip.visual.proj' is complex",
            marks=pytest.mark.skipif(not WRITES_COMPLEX, reason="older safetensors cannot write these"),
        ),
        ("clip.visual.proj", torch.zeros(48, 32, dtype=torch.int64), "visual.proj is torch.int64, expected"),
        ("vocabulary", torch.zeros(50), "vocabulary: expected a list of 64-bit integers"),
        ("vocabulary", torch.tensor(3), "vocabulary: expected a list"),
        ("vocabulary", torch.zeros(0, dtype=torch.int64), "vocabulary: expected a list"),
        ("vocabulary", torch.tensor([2, 1]), "vocabulary: expected CLIP's token numbers"),
        ("vocabulary", torch.tensor([-1, 1]), "vocabulary: expected CLIP's token numbers"),
        ("vocabulary", torch.tensor([1, 10**9]), "vocabulary: expected CLIP's token numbers"),
        ("vocabulary", torch.tensor([1, 2]), "token_embedding.weight is"),
    ],
)
def test_tensors_of_another_kind_are_named(small, path, name, tensor, named):
    write_checkpoint(dataclasses.replace(small, tensors={**small.tensors, name: tensor}), path)
    with pytest.raises(CheckpointError) as caught:
        GRMPIQA(pretrained_model_path=str(path))
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "named"),
    [
        (torch.zeros(3, dtype=torch.complex64), "complex"),
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.zeros(3, device="meta"), "without values"),
        (torch.zeros(1).expand(1 << 20, 1 << 20), "would fill 4398.0 GB of memory"),
    ],
)
def test_tensors_of_pytorch_that_are_no_weights(tmp_path, tensor, named):
    torch.save({"weight": tensor}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt") as caught:
        read_tensors(tmp_path / "odd.pt")
    assert named in str(caught.value)


def test_compressed_archive_is_not_unpacked(tmp_path):
    """A quarter of a gigabyte of zeros in a megabyte."""
    torch.save({"weight": torch.zeros(1 << 26)}, tmp_path / "plain.pt")
    packed = zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with zipfile.ZipFile(tmp_path / "plain.pt") as source, packed as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"bomb\.pt.*compressed, it would unpack to 0\.3 GB"):
        read_tensors(tmp_path / "bomb.pt")
    assert time.process_time() - started < 1


def test_pickle_of_millions_of_steps_is_refused(tmp_path):
    (tmp_path / "long.pt").write_bytes(b"\x80\x02" + b"N0" * 3_000_000 + b"N.")
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"long\.pt.*steps to unpickle"):
        read_tensors(tmp_path / "long.pt")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: {"model": {"state_dict": t}, "epoch": 3},
        lambda t: {"net": t, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}},
        lambda t: {"student": {"params": t}, "best": 0.8},
    ],
)
def test_state_dict_is_found_under_other_keys(tmp_path, wrap):
    torch.save(wrap({"a.weight": torch.ones(2)}), tmp_path / "wrapped.pt")
    assert read_tensors(tmp_path / "wrapped.pt").keys() == {"a.weight"}


def test_of_two_state_dicts_none_is_guessed(tmp_path):
    torch.save({"net": {"a": torch.ones(2)}, "ema": {"a": torch.ones(2)}}, tmp_path / "two.pt")
    with pytest.raises(CheckpointError, match=r"two\.pt: expected named tensors .* 'net', 'ema'"):
        read_tensors(tmp_path / "two.pt")


@pytest.mark.parametrize(
    ("part", "key", "value", "named"),
    [
        ("architecture", "embed_dim", "32", "embed_dim: expected a whole number, found '32'"),
        ("architecture", "embed_dim", None, "embed_dim: expected a whole number, found nothing"),
        ("architecture", "vision_cfg", [1], "has no section vision_cfg"),
        ("architecture", "text_cfg", None, "has no section text_cfg"),
        ("architecture", "quick_gelu", "yes", "quick_gelu: expected true or false"),
        ("architecture", "nonsense", 1, "unsupported options (nonsense)"),
        ("vision_cfg", "layers", 10**9, "vision_cfg: layers: must be at most 128"),
        ("vision_cfg", "layers", 0, "vision_cfg: layers: must be at least 1"),
        ("vision_cfg", "layers", 3.5, "vision_cfg: layers: expected a whole number"),
        ("vision_cfg", "width", 10**6, "vision_cfg: width: must be at most 16384"),
        ("vision_cfg", "head_width", 9, "vision_cfg: the width 48 cannot be divided into heads"),
        ("vision_cfg", "head_width", 4096, "vision_cfg: the width 48 cannot be divided into heads"),
        ("vision_cfg", "mlp_ratio", -1, "vision_cfg: mlp_ratio: must be larger than 0"),
        ("vision_cfg", "patch_size", [8, 8, 8], "patch_size: expected a list of 2"),
        ("vision_cfg", "patch_size", 64, "patches of 64 x 64 pixels are larger than the view"),
        ("vision_cfg", "image_size", "32", "image_size: expected a whole number"),
        (
            "vision_cfg",
            "image_size",
            64,
            "views of 32 x 32 pixels do not fit an image tower that takes 64 x 64",
        ),
        ("text_cfg", "heads", 3, "text_cfg: the width 32 cannot be divided into heads"),
        ("text_cfg", "context_length", 6, "context_tokens: 4 leave no room for a text"),
        ("text_cfg", "vocab_size", 10**9, "vocab_size: must be at most 1000000"),
        ("text_cfg", "proj_bias", 3, "proj_bias: expected true or false"),
        ("architecture", "trunk", {"variant": "lite9"}, "trunk: variant: must be one of lite0"),
        ("architecture", "trunk", {"hidden": 10**9}, "trunk: hidden: must be at most 16384"),
        ("architecture", "trunk", {"depth": 1}, "trunk: unknown key 'depth'"),
        ("architecture", "trunk", {}, "patch_size: must be 32 with a trunk"),
    ],
)
def test_architecture_of_impossible_sizes(small, path, part, key, value, named):
    write_checkpoint(small, path)
    config = json.loads(json.dumps(to_dict(small.config)))
    architecture = config["backbone"]["architecture"]
    (architecture if part == "architecture" else architecture[part])[key] = value
    rewrite(path, config=json.dumps(config))
    with pytest.raises((BackboneError, ConfigError, CheckpointError)) as caught:
        GRMPIQA(pretrained_model_path=str(path))
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_quality_texts_need_room_beside_the_context(small, path):
    write_checkpoint(small, path)
    config = json.loads(json.dumps(to_dict(small.config)))
    config["backbone"]["architecture"]["text_cfg"]["context_length"] = 8
    rewrite(path, config=json.dumps(config))
    tensors = dict(read_tensors(path))
    tensors["clip.positional_embedding"] = tensors["clip.positional_embedding"][:8].clone()
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata)
    with pytest.raises(VocabularyError, match="quality_texts: a text of 5 tokens is longer"):
        GRMPIQA(pretrained_model_path=str(path))


def test_the_same_checkpoint_is_the_same_bytes(small, tmp_path):
    """In another process, too: safetensors writes metadata in random order."""
    checkpoint = dataclasses.replace(small, info={"b": 1, "a": {"ü": float("nan"), '"': "\n"}})
    for number in range(6):
        write_checkpoint(checkpoint, tmp_path / f"{number}.safetensors")
    first, *others = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert all(other == first for other in others)
    header = json.loads(first[8 : 8 + int.from_bytes(first[:8], "little")])
    assert list(header["__metadata__"]) == ["config", "grmp_format", "info"]
    assert read_checkpoint(tmp_path / "0.safetensors").info == {"b": 1, "a": {"ü": None, '"': "\n"}}


# --- backbones ------------------------------------------------------------------------------------


@pytest.fixture
def full_vocabulary(small):
    """The small network with all of CLIP's words, as tensors without a vocabulary."""
    tensors = dict(small.tensors)
    rows = tensors["clip.token_embedding.weight"]
    embedding = torch.full((49408, 32), 0.01)
    embedding[tensors.pop("vocabulary")] = rows
    return {**tensors, "clip.token_embedding.weight": embedding}


def part(small, tensors, weights):
    """A checkpoint without its CLIP, which stands in a file of its own."""
    backbone = dataclasses.replace(small.config.backbone, weights=weights)
    own = {name: t for name, t in tensors.items() if not name.startswith("clip.")}
    return Checkpoint(dataclasses.replace(small.config, backbone=backbone), own)


def backbone_file(tensors, path, wrap=lambda t: t):
    torch.save(wrap({n.removeprefix("clip."): t for n, t in tensors.items() if n.startswith("clip.")}), path)
    return str(path)


WRAPPINGS = {
    "bare": lambda t: t,
    "module.": lambda t: {f"module.{name}": value for name, value in t.items()},
    "open_clip training": lambda t: {
        "epoch": 1,
        "name": "x",
        "state_dict": {f"module.{n}": v for n, v in t.items()},
    },
    "openai's extra numbers": lambda t: {
        **t,
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    },
    "attention mask": lambda t: {**t, "attn_mask": torch.zeros(77, 77)},
    "scale as a vector": lambda t: {**t, "logit_scale": t["logit_scale"].reshape(1)},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_partial_checkpoint_is_completed_from_its_backbone(small, full_vocabulary, tmp_path, path, wrapping):
    file = backbone_file(full_vocabulary, tmp_path / "clip.pt", WRAPPINGS[wrapping])
    write_checkpoint(part(small, full_vocabulary, file), path)
    network = GRMPIQA(pretrained_model_path=str(path))
    for name, t in network.state_dict().items():
        assert torch.equal(t, full_vocabulary[name]), name
    assert torch.equal(score(network), score(small))


def test_backbone_of_safetensors_in_half_precision(small, full_vocabulary, tmp_path):
    halves = {n.removeprefix("clip."): t.half() for n, t in full_vocabulary.items() if n.startswith("clip.")}
    save_file(halves, tmp_path / "clip.safetensors")
    network = GRMPIQA(part(small, full_vocabulary, str(tmp_path / "clip.safetensors")))
    assert {t.dtype for t in network.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(score(network), score(small), rtol=0, atol=2e-3)


def test_tensors_of_the_checkpoint_go_before_those_of_the_backbone(small, full_vocabulary, tmp_path):
    file = backbone_file(full_vocabulary, tmp_path / "clip.pt")
    checkpoint = part(small, full_vocabulary, file)
    learned = {
        "clip.ln_final.bias": torch.full((32,), 0.5),
        "clip.visual.ln_post.weight": torch.full((48,), 2.0),
    }
    network = GRMPIQA(dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **learned}))
    for name, t in network.state_dict().items():
        assert torch.equal(t, learned.get(name, full_vocabulary[name])), name


def test_checkpoint_with_every_tensor_needs_no_backbone(small, full_vocabulary):
    config = dataclasses.replace(small.config.backbone, weights="/nowhere/clip.pt")
    whole = Checkpoint(dataclasses.replace(small.config, backbone=config), full_vocabulary)
    assert torch.equal(score(whole), score(small))


def test_missing_prompts_are_never_made_up(small, full_vocabulary, tmp_path):
    file = backbone_file(full_vocabulary, tmp_path / "clip.pt")
    checkpoint = part(small, full_vocabulary, file)
    tensors = {n: t for n, t in checkpoint.tensors.items() if n != "visual_prompts.prompt_proj.weight"}
    with pytest.raises(CheckpointError, match="missing"):
        GRMPIQA(dataclasses.replace(checkpoint, tensors=tensors))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("clip.visual.proj"), "visual.proj"),
        (lambda t: t.update({"clip.head": torch.zeros(1)}), "head"),
        (lambda t: t.update({"clip.ln_final.bias": torch.zeros(5)}), "ln_final.bias"),
    ],
    ids=["missing", "unknown", "misshapen"],
)
def test_wrong_backbone_file(small, full_vocabulary, tmp_path, change, named):
    tensors = dict(full_vocabulary)
    change(tensors)
    file = backbone_file(tensors, tmp_path / "clip.pt")
    with pytest.raises(BackboneError, match=f"1 tensor.*{named}") as caught:
        GRMPIQA(part(small, full_vocabulary, file))
    assert file in str(caught.value)
    assert "'small'" in str(caught.value)


def test_backbone_that_is_not_there(small, full_vocabulary, tmp_path):
    with pytest.raises(BackboneError, match="neither a file nor a weights tag"):
        GRMPIQA(part(small, full_vocabulary, str(tmp_path / "nowhere.pt")))
    with pytest.raises(CheckpointError, match=r"tensors missing: clip\."):
        GRMPIQA(part(small, full_vocabulary, None))
    (tmp_path / "text.pt").write_text("only text")
    with pytest.raises(CheckpointError, match=r"text\.pt"):
        GRMPIQA(part(small, full_vocabulary, str(tmp_path / "text.pt")))


def test_unknown_weights_tag_lists_the_known_ones(small):
    backbone = BackboneConfig("ViT-B-16-quickgelu", "openay")
    config = dataclasses.replace(small.config, backbone=backbone, preprocess=PreprocessConfig())
    with pytest.raises(BackboneError, match=r"'openay'.*openai"):
        GRMPIQA(Checkpoint(config, initial_prompts(config, seed=0)))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RN50", "ResNet"),
        ("RN50x4-quickgelu", "ResNet"),
        ("convnext_base", "timm"),
        ("EVA02-B-16", "timm"),
        ("MobileCLIP-S1", "timm"),
        ("coca_ViT-B-32", "CoCa"),
        ("ViT-B-16-SigLIP", "timm"),
        ("ViT-B-16-SigLIP2", "timm"),
        ("roberta-ViT-B-32", "transformers"),
        ("ViT-L-14-CLIPA", "averages"),
    ],
)
def test_backbones_of_another_kind(name, reason):
    with pytest.raises(BackboneError, match=reason) as caught:
        architecture_of(BackboneConfig(name))
    message = str(caught.value)
    assert f"'{name}'" in message
    assert "VisionTransformer" in message
    assert "ViT-B-16-quickgelu" in message


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("ViT-B-16-quickgel", "ViT-B-16-quickgelu"), ("vit-b-16", "ViT-B-16"), ("ViT-L14", "ViT-L-14")],
)
def test_unknown_name_gives_suggestions(name, nearest):
    with pytest.raises(BackboneError, match=name) as caught:
        architecture_of(BackboneConfig(name))
    assert f"{nearest}" in str(caught.value)
    with pytest.raises(BackboneError, match="list_models"):
        architecture_of(BackboneConfig("qqqqqqqq"))


@pytest.mark.parametrize(
    ("name", "width", "layers"),
    [
        ("ViT-B-16-quickgelu", 768, 12),
        ("ViT-B-16", 768, 12),
        ("ViT-B-32", 768, 12),
        ("ViT-L-14", 1024, 24),
        ("ViT-H-14", 1280, 32),
    ],
)
def test_backbones_that_work(name, width, layers):
    vision = architecture_of(BackboneConfig(name))["vision_cfg"]
    assert (vision["width"], vision["layers"]) == (width, layers)
    assert bool(architecture_of(BackboneConfig(name)).get("quick_gelu")) == name.endswith("quickgelu")


def test_own_architecture_of_another_kind(small):
    architecture = dict(small.config.backbone.architecture)
    for changes, reason in [
        ({"vision_cfg": {**architecture["vision_cfg"], "timm_model_name": "x"}}, "timm"),
        ({"vision_cfg": {**architecture["vision_cfg"], "pool_type": "avg"}}, "averages"),
        ({"text_cfg": {**architecture["text_cfg"], "no_causal_mask": True}}, "causal"),
        ({"text_cfg": {**architecture["text_cfg"], "pool_type": "last"}}, "end-of-text"),
    ]:
        with pytest.raises(BackboneError, match=reason):
            architecture_of(BackboneConfig("own", None, {**architecture, **changes}))


# --- configuration as plain data ------------------------------------------------------------------


def test_configuration_as_plain_data():
    config = NetworkConfig(visual_prompts=7, preprocess=PreprocessConfig(kind="crops", scales=(1.0, 0.3)))
    plain = json.loads(json.dumps(to_dict(config)))
    assert from_dict(NetworkConfig, plain, "x") == config
    assert from_dict(NetworkConfig, {}, "x") == NetworkConfig()
    assert from_dict(NetworkConfig, {"prompt_dropout": 0}, "x").prompt_dropout == 0.0
    with pytest.raises(ConfigError, match=r"1\.0e-4"):
        from_dict(NetworkConfig, {"prompt_dropout": "1e-4"}, "x")


def test_a_checkpoint_of_an_earlier_embedded_model_says_what_to_do(small_checkpoint):
    """Its network had a stem of statistics where there is a trunk now."""
    checkpoint = small_checkpoint()
    backbone = dataclasses.replace(
        checkpoint.config.backbone,
        architecture={**checkpoint.config.backbone.architecture, "stem": {"hidden": 8, "summary": 8}},
    )
    config = dataclasses.replace(checkpoint.config, backbone=backbone)
    with pytest.raises(BackboneError, match=r"earlier release.*[Aa]dapt the current model"):
        GRMPIQA(dataclasses.replace(checkpoint, config=config))
