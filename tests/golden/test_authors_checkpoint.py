"""The wrappings and key sets in which the authors' files may come, and the files that are refused."""

import pickle

import pytest
import torch
from torch import nn

from grmp_plugin.errors import CheckpointError, GRMPError, InputError, VocabularyError
from grmp_plugin.network.authors import own_name
from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.start import starting_checkpoint

WRAPPINGS = {
    "bare": lambda tensors: tensors,
    "module.": lambda tensors: {f"module.{name}": t for name, t in tensors.items()},
    "state_dict": lambda tensors: {"state_dict": tensors, "epoch": 3, "loss": 0.5},
    "state_dict and module.": lambda tensors: {
        "state_dict": {f"module.{name}": t for name, t in tensors.items()}
    },
    "params": lambda tensors: {"params": tensors},
    "parameters": lambda tensors: {name: nn.Parameter(t) for name, t in tensors.items()},
    "half": lambda tensors: {name: t.half() for name, t in tensors.items()},
}


@pytest.fixture
def saved(tmp_path):
    """A function that saves anything with torch.save and gives the path."""

    def save(content, **options):
        path = tmp_path / "authors.pt"
        torch.save(content, path, **options)
        return str(path)

    return save


def pretraining(tensors, spec):
    return {name: t for name, t in tensors.items() if name not in spec["not_in_pretraining"]}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappings_give_the_same_tensors(saved, stand_in, wrapping):
    expected = read_checkpoint(saved(stand_in))
    found = read_checkpoint(saved(WRAPPINGS[wrapping](stand_in)))
    assert found.config == expected.config
    assert dict(found.info) == dict(expected.info)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name].float(), tensor), name


def test_configuration_is_the_papers_and_needs_no_download(saved, stand_in):
    config = read_checkpoint(saved(stand_in)).config
    assert config.backbone.name == "ViT-B-16-quickgelu"
    assert config.backbone.weights is None
    assert (config.context_tokens, config.visual_prompts, config.prompt_dropout) == (4, 100, 0.1)
    assert config.quality_texts == ("high quality.", "low quality.")
    assert (config.preprocess.kind, config.preprocess.resize, config.preprocess.size) == ("squash", 244, 224)


def test_pretraining_key_set(saved, authors_tensors, network, spec, images):
    """Without the token embedding the quality texts are read from the fixed parts of their prompts."""
    path = saved({"state_dict": pretraining(authors_tensors, spec), "epoch": 1})
    assert len(pretraining(authors_tensors, spec)) == 310
    other = GRMPIQA(pretrained_model_path=path)
    with torch.no_grad():
        torch.testing.assert_close(other(images[:2]), network(images[:2]), rtol=0, atol=1e-6)
        with pytest.raises(VocabularyError, match="no embedding for 'a'") as caught:
            other.scene_logits(network.quality_text_features())
    assert "a photo of a animal" in str(caught.value)
    assert "pre-training" in other.info["stage"]


@pytest.fixture
def clip_file(stand_in, tmp_path):
    """The CLIP inside the authors' file, as a file of its own."""
    fixed = ("prompt_learner2.token_prefix", "prompt_learner2.token_suffix")
    renamed = {own_name(name): t for name, t in stand_in.items() if name not in fixed}
    clip = {name.removeprefix("clip."): t for name, t in renamed.items() if name.startswith("clip.")}
    path = tmp_path / "clip.pt"
    torch.save(clip, path)
    return str(path)


def test_pretraining_with_clip_is_a_start_for_adaptation(saved, stand_in, spec, clip_file):
    path = saved({"state_dict": pretraining(stand_in, spec)})
    with pytest.raises(VocabularyError, match="no embedding for 'a'") as caught:
        GRMPIQA(path).scene_text_features()
    assert caught.value.see == ("backbone_weights",)
    start = starting_checkpoint(path, 0, backbone_weights=clip_file)
    assert "vocabulary" not in start.tensors
    whole = read_checkpoint(saved(stand_in))
    assert start.config == whole.config
    assert start.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(tensor, whole.tensors[name]) for name, tensor in start.tensors.items())
    assert GRMPIQA(start).vocabulary is None


def test_a_complete_file_of_the_authors_takes_no_other_clip(saved, stand_in, clip_file):
    with pytest.raises(InputError, match="is complete"):
        starting_checkpoint(saved(stand_in), 0, backbone_weights=clip_file)


def test_entries_beside_the_tensors_are_listed(saved, stand_in):
    found = read_checkpoint(saved({**stand_in, "epoch": 3, "best": 0.5}))
    assert found.info["not_read"] == ["epoch", "best"]
    found = read_checkpoint(saved({f"model.{name}": t for name, t in stand_in.items()}))
    assert found.tensors.keys() == read_checkpoint(saved(stand_in)).tensors.keys()


@pytest.mark.parametrize(
    ("change", "what", "named"),
    [
        (lambda t: t.pop("image_encoder.proj"), "missing", "visual.proj"),
        (lambda t: t.pop("image_encoder.prompt_proj.bias"), "missing", "prompt_proj.bias"),
        (lambda t: t.pop("logit_scale"), "missing", "logit_scale"),
        (lambda t: t.pop("image_encoder.deep_prompt_embeddings"), "missing", "deep_prompt_embeddings"),
        (lambda t: t.pop("prompt_learner2.token_prefix"), "missing", "prompt_learner2.token_prefix"),
        (lambda t: t.pop("prompt_learner2.token_suffix"), "missing", "prompt_learner2.token_suffix"),
        (lambda t: t.update({"image_encoder.extra": torch.zeros(2)}), "unexpected", "extra"),
        (lambda t: t.update({"head.weight": torch.zeros(2)}), "unexpected", "head.weight"),
        (
            lambda t: t.update({"image_encoder.prompt_proj.weight": torch.zeros(768, 512)}),
            "768x512, expected 768x768",
            "prompt_proj.weight",
        ),
        (
            lambda t: t.update({"image_encoder.prompt_embeddings": torch.zeros(1, 50, 768)}),
            "11x100x768, expected 11x50x768",
            "deep_prompt_embeddings",
        ),
        (lambda t: t.update({"prompt_learner2.ctx": torch.zeros(4, 300)}), "4x300, expected 4x512", "ctx"),
    ],
)
def test_wrong_keys_are_named(saved, stand_in, change, what, named):
    tensors = dict(stand_in)
    change(tensors)
    path = saved(tensors)
    with pytest.raises(CheckpointError) as caught:
        GRMPIQA(pretrained_model_path=path)
    message = str(caught.value)
    assert what in message
    assert named in message
    assert path in message


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("image_encoder.prompt_embeddings", (100, 768)),
        ("prompt_learner2.ctx", ()),
        ("prompt_learner2.token_prefix", (3, 1, 512)),
        ("prompt_learner2.token_suffix", (2, 1, 512)),
    ],
)
def test_prompts_of_an_impossible_shape_are_named(saved, stand_in, name, shape):
    with pytest.raises(GRMPError, match=name.rpartition(".")[2]):
        GRMPIQA(pretrained_model_path=saved({**stand_in, name: torch.zeros(shape)}))


def test_prompts_of_other_texts_are_refused(saved, stand_in):
    suffix = stand_in["prompt_learner2.token_suffix"].clone()
    suffix[1, 0] += 0.5
    with pytest.raises(CheckpointError, match="quality texts other than"):
        read_checkpoint(saved({**stand_in, "prompt_learner2.token_suffix": suffix}))


def test_other_projects_files_are_refused(saved):
    with pytest.raises(CheckpointError, match=r"neither a checkpoint of this project nor .* conv\.weight"):
        read_checkpoint(saved({"conv.weight": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"expected only tensors.*lr"):
        read_checkpoint(saved({"weight": torch.zeros(3), "lr": 0.1}))
    with pytest.raises(CheckpointError, match="found list"):
        read_checkpoint(saved([torch.zeros(3)]))
    with pytest.raises(CheckpointError, match="state dict"):
        read_checkpoint(saved({}))


class Trap:
    """Opens a file for writing as soon as it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda trap: trap,
        lambda trap: {"state_dict": {"prompt_learner2.ctx": torch.zeros(4, 512)}, "hook": trap},
        lambda trap: {"module.weight": trap},
    ],
    ids=["alone", "beside a state dict", "as a tensor"],
)
def test_code_in_a_file_is_not_run(saved, tmp_path, wrap, zipped):
    trap = tmp_path / "sprung"
    path = saved(wrap(Trap(trap)), _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"run\s+code from the file, so it is refused"):
        GRMPIQA(pretrained_model_path=path)
    assert not trap.exists()


def test_plain_pickle_is_not_run(tmp_path):
    trap, path = tmp_path / "sprung", tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Trap(trap), protocol=2))
    with pytest.raises(CheckpointError):
        GRMPIQA(pretrained_model_path=str(path))
    assert not trap.exists()


def test_whole_pickled_module_is_refused_with_the_reason(saved):
    module = nn.DataParallel(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(CheckpointError, match="whole pickled module") as caught:
        GRMPIQA(pretrained_model_path=saved(module))
    assert "state_dict()" in str(caught.value)
