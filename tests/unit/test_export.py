"""ONNX files score as the networks they were made from."""

import json

import numpy as np
import pytest
import torch

import grmp_plugin as grmp
from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.network.models import weights_digest
from grmp_plugin.network.preprocess import make_views

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def photographs(height: int, width: int) -> torch.Tensor:
    """(4, 3, height, width) in [0, 1]."""
    from PIL import Image
    from skimage import data

    resized = [Image.fromarray(getattr(data, name)()).resize((width, height)) for name in PHOTOGRAPHS]
    return torch.from_numpy(np.stack([np.asarray(one) for one in resized])).permute(0, 3, 1, 2) / 255


def run(session, inputs: torch.Tensor) -> np.ndarray:
    (expected,) = session.get_inputs()
    return session.run(["score"], {expected.name: inputs.numpy()})[0]


@pytest.fixture(scope="module", params=["grmp_iqa-tiny", "grmp_iqa-tiny-meta"])
def exported(request, tmp_path_factory):
    path = grmp.export(tmp_path_factory.mktemp("onnx") / "model.onnx", request.param)
    return request.param, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_scores_are_those_of_the_network_for_any_batch(exported):
    model, session = exported
    network = grmp.load(model)
    views = make_views(photographs(480, 640), network.config.preprocess)
    noise = torch.rand(views.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for inputs in (views, views[:1], noise[:3], torch.zeros_like(views), torch.ones_like(views)):
            expected = network.score_views(inputs).numpy()
            np.testing.assert_allclose(run(session, inputs), expected, atol=1e-4)
    assert np.ptp(run(session, views)) > 0.05  # so that constant scores would be seen


def test_file_says_what_it_is(exported):
    model, session = exported
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["model"] == model
    assert metadata["weights_sha256"] == weights_digest(model)
    assert json.loads(metadata["preprocess"])["size"] == 224
    (views,) = session.get_inputs()
    assert (views.name, views.shape[1:], views.type) == ("views", [4, 3, 224, 224], "tensor(float)")
    assert isinstance(views.shape[0], str)


def test_preprocessing_inside(tmp_path):
    path = grmp.export(tmp_path / "model.onnx", image_size=(600, 800))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = photographs(600, 800)
    with torch.no_grad():
        expected = grmp.load()(images).numpy()
    # A pixel in a thousand is rounded to the other side.
    np.testing.assert_allclose(run(session, images), expected, atol=1e-3)
    np.testing.assert_allclose(run(session, images[1:2]), expected[1:2], atol=1e-3)


def test_a_network_of_another_architecture(small_network, tmp_path):
    network = small_network()
    path = grmp.export(tmp_path / "small.onnx", network)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    views = torch.rand(3, 1, 3, 32, 32)
    with torch.no_grad():
        np.testing.assert_allclose(run(session, views), network.score_views(views).numpy(), atol=1e-4)
    assert network.score_views(views).requires_grad  # the caller's network is as it was


def test_wrong_use(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        grmp.export(tmp_path / "model.pt")
    with pytest.raises(InputError, match="does not exist"):
        grmp.export(tmp_path / "none" / "model.onnx")
    with pytest.raises(InputError, match="no pixels"):
        grmp.export(tmp_path / "model.onnx", image_size=(0, 8))
    with pytest.raises(InputError, match="1000000 x 1000000: at most 50 megapixels"):
        grmp.export(tmp_path / "model.onnx", image_size=(1_000_000, 1_000_000))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(GRMPError, match=r"grmp-iqa\[onnx\]"):
        grmp.export(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
