"""Saved states and checkpoints of trainings: damage, other files in their place, and full disks."""

import errno

import pytest
import torch

from grmp_plugin import files
from grmp_plugin.errors import TrainingError
from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.training.checkpoint_file import check_written, save_checkpoint, state_file
from grmp_plugin.training.state import SavedState

RUN = {"seed": 0}


def _saved(tmp_path):
    saved = SavedState(tmp_path / "a.state", RUN)
    saved.written = "digest"
    saved.save({"step": 3, "weights": torch.arange(100.0)})
    return saved


def test_a_state_comes_back(tmp_path):
    _saved(tmp_path)
    again = SavedState(tmp_path / "a.state", RUN)
    content = again.load()
    assert content["step"] == 3
    assert torch.equal(content["weights"], torch.arange(100.0))
    assert again.written == "digest"


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    saved = _saved(tmp_path)
    whole = saved.path.read_bytes()
    for place in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        saved.path.write_bytes(damaged)
        with pytest.raises(TrainingError, match="cannot be read as the state of a training"):
            saved.load()


@pytest.mark.parametrize("size", [0, 1, 32, -1, -33])
def test_a_torn_state_is_noticed(tmp_path, size):
    saved = _saved(tmp_path)
    saved.path.write_bytes(saved.path.read_bytes()[:size])
    with pytest.raises(TrainingError, match="cannot be read as the state of a training"):
        saved.load()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"settings": {"epochs": 50, "kept_views": None, "shots": 9}}, r"epochs: 300 there, 50 here\)"),
        ({"settings": {"epochs": 300, "shots": 9}}, "kept_views: null there, null here"),
        ({"settings": {}}, "epochs: 300 there, null here; kept_views: .*shots"),
        ({"prompts": {}}, "prompts: null there, {} here"),
        ({"settings": None}, "settings: {.*} there, null here"),
    ],
)
def test_only_the_same_run_is_resumed_and_what_differs_is_named(tmp_path, other, words):
    run = {"seed": 0, "prompts": None, "settings": {"epochs": 300, "kept_views": None, "shots": 9}}
    SavedState(tmp_path / "a.state", run).save({})
    assert SavedState(tmp_path / "a.state", run).load() == {}
    with pytest.raises(TrainingError, match=rf"belongs to another run \({words}"):
        SavedState(tmp_path / "a.state", run | other).load()


@pytest.fixture
def full_disk(monkeypatch):
    """Temporary files that lead to a device without room."""
    real = files.tempfile.mkstemp

    def mkstemp(**options):
        handle, name = real(**options)
        files.Path(name).unlink()
        files.Path(name).symlink_to("/dev/full")
        return handle, name

    def fill():
        monkeypatch.setattr(files.tempfile, "mkstemp", mkstemp)

    return fill


def test_a_full_disk_keeps_the_state_saved_before(tmp_path, full_disk):
    saved = _saved(tmp_path)
    full_disk()
    with pytest.raises(TrainingError, match=r"a\.state: No space left on device; .*before is kept") as found:
        saved.save({"step": 4})
    assert found.value.see == ("resume",)
    assert saved.load()["step"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.state"]


def test_a_full_disk_without_a_state_gives_no_advice_to_resume(tmp_path, full_disk):
    full_disk()
    with pytest.raises(TrainingError, match=r"No space left on device$") as found:
        SavedState(tmp_path / "a.state", RUN).save({"step": 4})
    assert found.value.see == ()


def test_a_full_disk_under_a_checkpoint(tmp_path, small_checkpoint, monkeypatch):
    from safetensors import SafetensorError

    from grmp_plugin.network import checkpoint

    out = tmp_path / "a.safetensors"

    def save_file(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    with pytest.raises(TrainingError, match=r"cannot write the model: .*No space left") as found:
        save_checkpoint(small_checkpoint(), out)
    assert list(tmp_path.iterdir()) == []
    assert found.value.see == ()
    state_file(out).touch()
    monkeypatch.setattr(
        checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
    )
    with pytest.raises(TrainingError, match="The state of the run is kept") as found:
        save_checkpoint(small_checkpoint(), out)
    assert found.value.see == ("resume",)


def test_a_checkpoint_in_place_of_the_runs_own_is_noticed(tmp_path, small_checkpoint):
    out = tmp_path / "a.safetensors"
    digest = save_checkpoint(small_checkpoint(), out)
    check_written(out, digest)
    assert read_checkpoint(str(out)).tensors.keys() == small_checkpoint().tensors.keys()
    save_checkpoint(small_checkpoint(seed=1), out)
    with pytest.raises(TrainingError, match=r"a\.safetensors.* has changed since"):
        check_written(out, digest)
    out.unlink()
    with pytest.raises(TrainingError, match=r"a\.safetensors.* is missing; put it back"):
        check_written(out, digest)
