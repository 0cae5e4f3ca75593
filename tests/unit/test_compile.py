"""The metric as a compiled loss, as the documentation of pyiqa says: what works, and what does not."""

import pyiqa
import pytest
import torch
from packaging.version import Version
from torch._dynamo.testing import CompileCounterWithBackend

import grmp_plugin  # noqa: F401 - registers the metric
from grmp_plugin.network.checkpoint import write_checkpoint

# These fail with 2.5 to 2.7; versions between were not tried.
pytestmark = pytest.mark.skipif(Version(torch.__version__) < Version("2.14"), reason="needs PyTorch 2.14")

# Reduced with antialiasing, enlarged, and a size at which nothing is resampled.
SIZES = [(90, 70), (30, 20), (64, 64)]


@pytest.fixture(scope="module")
def loss(small_checkpoint, tmp_path_factory):
    """The metric of pyiqa with a small network that looks at crops."""
    file = tmp_path_factory.mktemp("compiled") / "small.safetensors"
    write_checkpoint(small_checkpoint(kind="crops"), file)
    metric = pyiqa.create_metric("grmp_iqa", pretrained_model_path=str(file), as_loss=True, device="cpu")
    metric.net.requires_grad_(False)
    return metric


def score_and_gradient(metric, image):
    leaf = image.clone().requires_grad_(True)
    score = metric(leaf)
    (1 - score).sum().backward()
    return score.detach(), leaf.grad


def test_compiled_once_for_each_size(loss):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(loss, dynamic=False, backend=counter)
    generator = torch.Generator().manual_seed(0)
    for size in SIZES:
        image = torch.rand(1, 3, *size, generator=generator)
        expected, gradient = score_and_gradient(loss, image)
        for _ in range(2):
            score, found = score_and_gradient(compiled, image)
            torch.testing.assert_close(score, expected, atol=1e-5, rtol=0)
            torch.testing.assert_close(found, gradient, atol=1e-6, rtol=1e-3)
        assert gradient.abs().sum() > 0
        compilations = counter.frame_count
        score_and_gradient(compiled, image)
        assert counter.frame_count == compilations > 0
    torch._dynamo.reset()


def test_neither_traced_nor_exported(loss):
    image = torch.rand(1, 3, 90, 70)
    with pytest.raises(Exception, match=r"round|data"):
        torch.export.export(loss.net, (image,))
    with pytest.raises(Exception, match="round"):
        torch.jit.trace(loss.net, image)
