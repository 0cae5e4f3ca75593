"""Weights of a backbone: the right activation, files of open_clip and OpenAI, what a checkpoint lacks."""

import dataclasses
import pickle
import zipfile

import open_clip
import pytest
import torch
from grmp_cli.app import app
from grmp_cli.errors import message
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import grmp_plugin as grmp
from grmp_plugin.api.start import find_start
from grmp_plugin.config import BackboneConfig, PromptConfig
from grmp_plugin.errors import BackboneError, CheckpointError, ConfigError, GRMPError, InputError
from grmp_plugin.network import backbone as backbone_module
from grmp_plugin.network.backbone import backbone_tensors, matching_backbone
from grmp_plugin.network.checkpoint import read_checkpoint, write_checkpoint
from grmp_plugin.network.clip import build_clip
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.start import start_digest, starting_checkpoint, with_new_prompts
from grmp_plugin.network.tensors import read_named

SMALL = {
    "embed_dim": 32,
    "vision_cfg": {"layers": 2, "width": 48, "head_width": 16, "patch_size": 8, "image_size": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
QUICK = {**SMALL, "quick_gelu": True}


# OpenAI published TorchScript; torch says that nobody should write it any more.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def listed(monkeypatch):
    """open_clip lists two small models, which differ in their activation."""
    models = {**open_clip.factory._MODEL_CONFIGS, "Small": SMALL, "Small-quickgelu": QUICK}
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", models)


@pytest.fixture(scope="module")
def weights():
    """Random weights of the small models."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BackboneConfig("Small", None, SMALL)
        return {name: t.detach() for name, t in build_clip(config, device="cpu").state_dict().items()}


@pytest.fixture
def file(weights, tmp_path):
    """A file of open_clip."""
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    return tmp_path / "open_clip_model.safetensors"


class Node(nn.Module):
    """A module of any names, with a number and a method of its own, as OpenAI's have."""

    training: bool

    def __init__(self, tensors):
        super().__init__()
        self.heads = 3
        below = {}
        for name, tensor in tensors.items():
            first, _, rest = name.partition(".")
            if rest:
                below.setdefault(first, {})[rest] = tensor
            elif tensor.is_floating_point():
                self.register_parameter(first, nn.Parameter(tensor))
            else:
                self.register_buffer(first, tensor)
        for name, inside in below.items():
            self.add_module(name, Node(inside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.heads


@pytest.fixture
def openais(weights, tmp_path):
    """The same weights as OpenAI stores them: TorchScript, half precision, three numbers beside them."""
    tensors = {name: t.half() for name, t in weights.items()}
    numbers = {"input_resolution": 64, "context_length": 77, "vocab_size": 49408}
    tensors |= {name: torch.tensor(number) for name, number in numbers.items()}
    path = tmp_path / "ViT-small.pt"
    torch.jit.save(torch.jit.script(Node(tensors)), str(path))
    return path


# --- activation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-32", "ViT-L-14"])
def test_openais_weights_are_taken_with_their_activation(name):
    for model in (name, f"{name}-quickgelu"):
        for tag in (None, "openai"):
            assert matching_backbone(model, tag) == BackboneConfig(f"{name}-quickgelu", "openai")
    assert starting_checkpoint(name, 0).config.backbone.name == f"{name}-quickgelu"


def test_weights_for_gelu_are_taken_without_quickgelu():
    expected = BackboneConfig("ViT-B-16", "laion2b_s34b_b88k")
    assert matching_backbone("ViT-B-16", "laion2b_s34b_b88k") == expected
    assert matching_backbone("ViT-B-16-quickgelu", "laion2b_s34b_b88k") == expected
    assert matching_backbone("ViT-H-14", "dfn5b") == BackboneConfig("ViT-H-14-quickgelu", "dfn5b")


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-32", "ViT-L-14"])
def test_a_checkpoint_with_the_wrong_activation_is_refused(name):
    with pytest.raises(BackboneError, match=f"were trained with QuickGELU.*Use '{name}-quickgelu'"):
        backbone_tensors(BackboneConfig(name, "openai"))


def test_every_recommended_model_has_the_weights_that_are_recommended():
    with pytest.raises(BackboneError) as caught:
        starting_checkpoint("RN50", 0)
    words = str(caught.value).replace(",", " ").replace(".", " ").split()
    recommended = [word for word in words if word.startswith("ViT-") and word != "ViT-H-14"]
    assert len(recommended) >= 3
    for name in recommended:
        assert matching_backbone(name, None) == BackboneConfig(name, "openai")
    assert matching_backbone("ViT-H-14", "laion2b_s32b_b79k").name == "ViT-H-14"


def test_without_weights_by_openai_the_others_are_listed():
    with pytest.raises(
        BackboneError, match=r"'ViT-H-14' has no weights by OpenAI.*laion2b_s32b_b79k"
    ) as caught:
        starting_checkpoint("ViT-H-14", 0)
    assert caught.value.see == ("backbone_weights",)
    with pytest.raises(BackboneError, match="'openay' is neither a file nor a weights tag"):
        starting_checkpoint("ViT-B-16", 0, backbone_weights="openay")


# --- files ----------------------------------------------------------------------------------------


def test_start_from_a_file_of_open_clip(file, weights, tmp_path):
    start = starting_checkpoint("Small", 3, backbone_weights=str(file))
    assert start.config.backbone == BackboneConfig("Small", None)
    # The views have the size that the model takes, and the margin of the paper's.
    assert (start.config.preprocess.size, start.config.preprocess.resize) == (64, 70)
    for name, tensor in weights.items():
        assert torch.equal(start.tensors[f"clip.{name}"], tensor), name
    network = GRMPIQA(start)
    # The result needs the file no more.
    write_checkpoint(start, tmp_path / "start.safetensors")
    file.unlink()
    x = torch.rand(1, 3, 70, 80)
    assert torch.equal(GRMPIQA(str(tmp_path / "start.safetensors"))(x), network(x))


def test_start_from_openais_torchscript(openais, weights):
    """Read without running its code, and with OpenAI's activation."""
    start = starting_checkpoint("Small", 0, backbone_weights=str(openais))
    assert start.config.backbone == BackboneConfig("Small-quickgelu", None)
    for name, tensor in weights.items():
        assert torch.equal(start.tensors[f"clip.{name}"], tensor.half().float()), name
    assert GRMPIQA(start).scene_text_features().shape == (9, 32)
    with pytest.raises(BackboneError, match=r"ViT-small\.pt were trained with QuickGELU"):
        backbone_tensors(BackboneConfig("Small", str(openais)))


def test_torchscript_is_read_as_torch_reads_it(openais):
    expected = torch.jit.load(str(openais)).state_dict()
    found = read_named(openais)
    assert found.torchscript
    assert found.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor), name


class Trap:
    """Opens a file for writing as soon as it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def with_pickle(source, target, content):
    """The archive with another data.pkl."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            is_root = name.split("/")[1:] == ["data.pkl"]
            new.writestr(name, content if is_root else old.read(name))


def test_code_in_torchscript_is_not_run(openais, tmp_path):
    with_pickle(openais, tmp_path / "trap.pt", pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(CheckpointError, match=r"trap\.pt.*without running its code: it refers to io\.open"):
        read_named(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02N.", b"\x80\x02]q\x00.", b"garbage", b"\x80\x02" + b"(" * 10**6]
)
def test_damaged_torchscript(openais, tmp_path, content):
    with_pickle(openais, tmp_path / "bad.pt", content)
    with pytest.raises(CheckpointError, match=r"bad\.pt is a TorchScript archive, and its tensors cannot"):
        read_named(tmp_path / "bad.pt")


def test_not_a_number_in_a_backbone_names_file_and_tensor(weights, tmp_path):
    tensors = {name: t.clone() for name, t in weights.items()}
    tensors["visual.proj"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match=r"bad\.safetensors: the tensor 'visual\.proj' holds 1 values"):
        starting_checkpoint("Small", 0, backbone_weights=str(tmp_path / "bad.safetensors"))


def test_digest_of_the_start_is_the_files(file):
    digest = start_digest("Small", str(file))
    assert digest is not None
    assert len(digest) == 64
    assert start_digest("Small", "openai") is None


# --- prompts --------------------------------------------------------------------------------------


def test_prompts_of_a_new_start(file):
    prompts = PromptConfig(context_tokens=6, visual_prompts=9, quality_texts=("good photo.", "bad photo."))
    start = starting_checkpoint("Small", 0, backbone_weights=str(file), prompts=prompts)
    assert start.tensors["text_prompt.ctx"].shape == (6, 32)
    assert start.tensors["visual_prompts.prompt_embeddings"].shape == (1, 9, 48)
    assert GRMPIQA(start).config.quality_texts == ("good photo.", "bad photo.")


def test_prompts_of_a_checkpoint_cannot_be_renumbered_but_replaced(small_checkpoint, tmp_path):
    write_checkpoint(small_checkpoint(), tmp_path / "mine.safetensors")
    prompts = PromptConfig(visual_prompts=9)
    for model in (small_checkpoint(), str(tmp_path / "mine.safetensors")):
        with pytest.raises(ConfigError, match="has prompts of its own; visual_prompts cannot be set"):
            find_start(model, 0, prompts=prompts)
    new = with_new_prompts(small_checkpoint(), 0, prompts)
    assert GRMPIQA(new).visual_prompts.prompt_embeddings.shape == (1, 9, 48)


# --- what a checkpoint lacks ----------------------------------------------------------------------


@pytest.fixture
def pretrained(file):
    """A checkpoint like the authors' pre-training files: all of CLIP, but only the quality texts' words."""
    whole = starting_checkpoint("Small", 0, backbone_weights=str(file))
    vocabulary = torch.tensor([0, 269, 1974, 2660, 3027, 49406, 49407])
    words = whole.tensors["clip.token_embedding.weight"][vocabulary]
    tensors = {**whole.tensors, "vocabulary": vocabulary, "clip.token_embedding.weight": words}
    return dataclasses.replace(whole, tensors=tensors, source="pretrained.pt")


def test_missing_words_come_from_clip(pretrained, file, weights):
    start = find_start(pretrained, 0, file).checkpoint
    assert "vocabulary" not in start.tensors
    assert torch.equal(start.tensors["clip.token_embedding.weight"], weights["token_embedding.weight"])
    assert GRMPIQA(start).scene_text_features().shape == (9, 32)


def test_words_of_another_clip_are_refused(pretrained, weights, tmp_path):
    other = {**weights, "token_embedding.weight": weights["token_embedding.weight"] + 0.01}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"pretrained\.pt was made with another CLIP.*other\.safet"):
        find_start(pretrained, 0, tmp_path / "other.safetensors")


def test_a_complete_checkpoint_takes_no_other_clip(pretrained, file):
    whole = find_start(pretrained, 0, file).checkpoint
    with pytest.raises(InputError, match="is complete") as caught:
        find_start(whole, 0, file)
    assert caught.value.argument == "backbone_weights"


def test_a_partial_checkpoint_takes_its_clip_from_a_file(pretrained, file):
    """Whose tag cannot be downloaded, behind a firewall."""
    whole = find_start(pretrained, 0, file).checkpoint
    own = {name: t for name, t in whole.tensors.items() if not name.startswith("clip.")}
    config = dataclasses.replace(whole.config, backbone=BackboneConfig("Small", "unreachable"))
    found = find_start(dataclasses.replace(whole, config=config, tensors=own), 0, file).checkpoint
    x = torch.rand(1, 3, 70, 80)
    assert torch.equal(GRMPIQA(found)(x), GRMPIQA(whole)(x))


def test_weights_are_downloaded_only_from_their_repository(monkeypatch, file):
    asked = []
    monkeypatch.setattr(backbone_module, "fetch", lambda remote, **_: asked.append(remote) or file)
    with pytest.raises(BackboneError, match="does not hold the weights of 'ViT-B-32'"):
        backbone_tensors(BackboneConfig("ViT-B-32", "laion2b_s34b_b79k"))
    assert asked[0].repository == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"


def test_reading_back_what_was_written(pretrained, tmp_path):
    write_checkpoint(pretrained, tmp_path / "a.safetensors")
    assert read_checkpoint(tmp_path / "a.safetensors").tensors.keys() == pretrained.tensors.keys()


# --- from the arguments to the training -----------------------------------------------------------


@pytest.fixture
def started(monkeypatch):
    """What trainings start from, which stop there."""
    found = []

    def stop(start, *arguments, **options):
        found.append(start)
        raise GRMPError("stopped at the start")

    monkeypatch.setattr("grmp_plugin.training.few_shot.FewShot", stop)
    monkeypatch.setattr("grmp_plugin.training.meta_prompts.pretrain_prompts", stop)
    return found


@pytest.fixture
def ratings(tmp_path):
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    lines = ["image,mos", *(f"{number}.png,{number}" for number in range(4))]
    (tmp_path / "ratings.csv").write_text("\n".join(lines))
    return tmp_path / "ratings.csv"


@pytest.mark.parametrize("command", ["adapt", "pretrain"])
@pytest.mark.parametrize("by", ["argument", "configuration", "option"])
def test_the_choice_of_weights_reaches_the_training(started, ratings, file, weights, tmp_path, command, by):
    data = str(ratings) if command == "adapt" else "drawn"
    if by == "option":
        data = [data] if command == "adapt" else ["--data", data]
        given = ["--model", "Small", "--backbone-weights", str(file), "--device", "cpu"]
        given += ["--out", str(tmp_path / "out.safetensors")]
        result = CliRunner().invoke(app, [command, *data, *given])
        assert "stopped at the start" in str(result.exception)
    else:
        given = {"backbone_weights": file}
        if by == "configuration":
            (tmp_path / "mine.yml").write_text(f"backbone_weights: {file}\n")
            given = {"config": tmp_path / "mine.yml"}
        with pytest.raises(GRMPError, match="stopped at the start"):
            getattr(grmp, command)(data, model="Small", device="cpu", **given)
    (start,) = started
    for name, tensor in weights.items():
        assert torch.equal(start.tensors[f"clip.{name}"], tensor), name


@pytest.mark.parametrize("command", ["adapt", "pretrain"])
def test_prompts_of_a_configuration_make_the_network(started, ratings, file, tmp_path, command):
    (tmp_path / "mine.yml").write_text(
        f"model: Small\nbackbone_weights: {file}\n"
        "prompts: {context_tokens: 6, visual_prompts: 9, quality_texts: [good photo., bad photo.]}\n"
    )
    with pytest.raises(GRMPError, match="stopped at the start"):
        getattr(grmp, command)(
            str(ratings) if command == "adapt" else "drawn", config=tmp_path / "mine.yml", device="cpu"
        )
    (start,) = started
    assert start.tensors["text_prompt.ctx"].shape == (6, 32)
    assert start.tensors["visual_prompts.prompt_embeddings"].shape == (1, 9, 48)
    assert start.config.quality_texts == ("good photo.", "bad photo.")


# --- what the user is told ------------------------------------------------------------------------


def test_the_command_says_which_option_chooses_weights():
    with pytest.raises(BackboneError) as caught:
        starting_checkpoint("ViT-H-14", 0)
    assert "--backbone-weights TAG or FILE" in message(caught.value)
    for command in ("adapt", "pretrain"):
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
        assert "--backbone-weights" in shown.output
        assert "<TAG|FILE>" in shown.output


@pytest.mark.parametrize(
    ("command", "text", "words"),
    [
        ("pretrain", "data: [kadid11k]", "'kadid11k' is not a known source of tasks"),
        ("adapt", "data: koniq11k", "'koniq11k' is neither a ratings file nor"),
        ("adapt", "data: gone.csv", "gone.csv: no such file"),
        ("adapt", "model: grmp_iqa-tini", "grmp_iqa-tini"),
        ("pretrain", "model: grmp_iqa-tini", "grmp_iqa-tini"),
        ("adapt", "{model: Small, backbone_weights: openay}", "'openay' is neither a file nor"),
        ("pretrain", "{model: Small, backbone_weights: openay}", "'openay' is neither a file nor"),
        ("adapt", "training: {shots: 1}", "shots: must be at least 2"),
        ("pretrain", "training: {outer_steps: 0}", "outer_steps: must be positive"),
        ("adapt", "training: {protocol: relesed}", "own or released"),
        ("adapt", "splits: 0", "splits: must be positive"),
        ("pretrain", "seed: -1", "seed: must be from 0"),
    ],
)
def test_a_fault_of_the_configuration_names_its_file(ratings, tmp_path, command, text, words):
    """And not the option or argument that was never given."""
    file = tmp_path / "mine.yml"
    file.write_text(text)
    data = {"ratings": str(ratings)} if command == "adapt" and "data" not in text else {}
    with pytest.raises(GRMPError) as caught:
        getattr(grmp, command)(**data, config=file)
    assert words in caught.value.message
    assert caught.value.argument is None
    first = message(caught.value).splitlines()[0]
    assert "mine.yml" in first
    assert "--" not in first


def test_a_folder_in_place_of_a_source(tmp_path):
    with pytest.raises(InputError, match="is a folder, not a data set") as caught:
        grmp.pretrain(str(tmp_path))
    assert (caught.value.argument, caught.value.see) == ("data", ("pristine",))


def test_a_fault_of_an_argument_names_no_file(tmp_path):
    (tmp_path / "mine.yml").write_text("data: [kadid11k]")
    with pytest.raises(InputError, match="'kadid12k' is not a known source of tasks") as caught:
        grmp.pretrain("kadid12k", config=tmp_path / "mine.yml")
    assert caught.value.argument == "data"
    assert "mine.yml" not in caught.value.message
