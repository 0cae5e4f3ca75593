"""The network on a GPU scores as on the CPU, nearly so in half precision and under autocast."""

import copy
import pickle

import pytest
import torch

from grmp_plugin.network.precision import reduce_precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

every_kind = pytest.mark.parametrize("kind", ["squash", "crops"])
every_variant = pytest.mark.parametrize("variant", ["vit", "layer scale", "trunk", "other options"])


@pytest.fixture(autouse=True)
def exact_arithmetic():
    """TF32 is the user's choice; agreement is measured without it."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def images():
    return torch.rand(6, 3, 50, 70, generator=torch.Generator().manual_seed(1))


def scores(network, x):
    with torch.no_grad():
        return network(x)


@every_kind
@every_variant
def test_agreement_with_the_cpu(small_network, images, variant, kind):
    network = small_network(variant, kind)
    expected = scores(network, images)
    found = scores(network.cuda(), images.cuda())
    assert found.is_cuda
    # Rounding to 8 bit after resampling may differ for a few pixels.
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-3)
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        features = network.image_features(pixels.cuda())
        logits = torch.cat([network.quality_logits(features), network.scene_logits(features)], dim=1)
        network.cpu()
        features = network.image_features(pixels)
        expected = torch.cat([network.quality_logits(features), network.scene_logits(features)], dim=1)
    torch.testing.assert_close(logits.cpu(), expected, rtol=0, atol=1e-4)


def test_agreement_in_double_precision(small_network):
    network = small_network().double()
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        expected = network.quality_logits(network.image_features(pixels))
        found = network.cuda().quality_logits(network.image_features(pixels.cuda()))
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-11)


@every_variant
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(small_network, images, variant, dtype):
    network = small_network(variant)
    expected = scores(network, images)
    reduced = reduce_precision(copy.deepcopy(network).cuda(), dtype)
    torch.testing.assert_close(scores(reduced, images.cuda()).cpu(), expected, rtol=0, atol=0.02)
    whole = network.cuda().to(dtype)
    found = scores(whole, images.cuda())
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0, atol=0.05)
    assert scores(whole, images.cuda().to(dtype)).isfinite().all()


@every_variant
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(small_network, images, variant, dtype):
    network = small_network(variant).cuda()
    expected = scores(network, images.cuda())
    for _ in range(2):  # values cached outside autocast must not be used inside it, nor vice versa
        with torch.autocast("cuda", dtype):
            found = scores(network, images.cuda())
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)
        torch.testing.assert_close(scores(network, images.cuda()), expected, rtol=0, atol=1e-6)


def test_autocast_with_gradients(small_network, images):
    network = small_network().cuda().train()
    x = images.cuda().requires_grad_()
    with torch.autocast("cuda", torch.float16):
        loss = (1 - network(x)).mean()
    loss.float().backward()
    assert x.grad.isfinite().all()
    assert network.text_prompt.ctx.grad.isfinite().all()
    assert network.visual_prompts.deep_prompt_embeddings.grad.any()


@every_kind
def test_image_gradients(small_network, images, kind):
    network = small_network(kind=kind)

    def gradient(network, x):
        x = x.clone().requires_grad_()
        (1 - network(x)).mean().backward()
        return x.grad

    expected = gradient(network, images)
    found = gradient(network.cuda(), images.cuda()).cpu()
    assert (found - expected).norm() <= 0.02 * expected.norm()


@every_kind
def test_score_does_not_depend_on_the_batch(small_network, kind):
    network = small_network(kind=kind).cuda()
    x = torch.rand(16, 3, 48, 60, generator=torch.Generator().manual_seed(3)).cuda()
    alone = torch.cat([scores(network, one) for one in x.split(1)])
    torch.testing.assert_close(alone, scores(network, x), rtol=0, atol=1e-5)


def test_copies(small_network, images):
    network = small_network().cuda()
    expected = scores(network, images.cuda())
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(scores(other, images.cuda()), expected)


def test_networks_on_cpu_and_gpu_side_by_side(small_network, images):
    network = small_network()
    expected = scores(network, images)
    twin = copy.deepcopy(network).cuda()
    for _ in range(2):
        torch.testing.assert_close(scores(twin, images.cuda()).cpu(), expected, rtol=0, atol=1e-3)
        assert torch.equal(scores(network, images), expected)
