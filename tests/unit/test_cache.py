"""What the network remembers: never stale, and never in the way of gradients, training or copies.

Every change is followed by a comparison with a network that has the same state and has never computed before.
"""

import copy
import pickle

import pytest
import torch
from packaging.version import Version
from torch import nn

from grmp_plugin.network.cache import WeightCache
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.precision import reduce_precision
from grmp_plugin.network.texts import clip_token_ids

CHANGE = 1e-4  # of a score or logit: below this a test of staleness would say nothing
# Bit for bit, but older PyTorch takes other kernels with gradients, which round differently.
EXACT = Version(torch.__version__) >= Version("2.14")
ROUNDING = {"rtol": 0, "atol": 0} if EXACT else {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture
def network(small_network):
    return small_network()


@pytest.fixture
def images():
    return torch.rand(3, 3, 40, 52, generator=torch.Generator().manual_seed(1))


def outputs(network, images):
    """Scores and scene logits side by side: everything that is remembered takes part."""
    device = network.clip.logit_scale.device
    features = network.image_features(torch.ones(1, 3, 32, 32, device=device))
    with torch.no_grad():
        return torch.cat([network(images.to(device)).flatten(), network.scene_logits(features).flatten()])


def assert_like_fresh(network, images, fresh, changed_from=None):
    with torch.no_grad():
        expected = outputs(fresh(network), images)
        for _ in range(2):  # computed, then remembered
            torch.testing.assert_close(outputs(network, images), expected, **ROUNDING)
    with torch.inference_mode():
        torch.testing.assert_close(outputs(network, images), expected, **ROUNDING)
    if changed_from is not None:
        assert not torch.allclose(expected.double().cpu(), changed_from.double().cpu(), atol=CHANGE, rtol=0)


def remembered(network, images):
    """The outputs, computed twice so that they come from memory."""
    with torch.no_grad():
        first = outputs(network, images)
        assert torch.equal(outputs(network, images), first)
    return first


def calls_of(*modules):
    """A list that grows by one at each call of any of the modules."""
    calls = []
    for module in modules:
        module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_texts_and_prompts_are_computed_once(network, images):
    texts = calls_of(network.clip.transformer.resblocks[0].mlp)
    prompts = calls_of(network.visual_prompts.prompt_proj)
    with torch.no_grad():
        for _ in range(3):
            network(images)
        with torch.inference_mode():
            network(images[:1])
    assert (len(texts), len(prompts)) == (1, 1)
    features = torch.ones(1, 32)
    with torch.no_grad():
        for _ in range(3):
            network.scene_logits(features)
    assert len(texts) == 2
    network.requires_grad_(False)
    network(images)  # gradients on, none wanted
    assert (len(texts), len(prompts)) == (2, 1)


def test_texts_and_prompts_are_computed_anew_while_gradients_to_them_are_wanted(network, images):
    texts = calls_of(network.clip.transformer.resblocks[0].mlp)
    prompts = calls_of(network.visual_prompts.prompt_proj)
    for _ in range(2):
        network(images)
    assert (len(texts), len(prompts)) == (2, 2)


def test_training_mode_neither_uses_nor_fills_the_memory(network, images, fresh):
    texts = calls_of(network.clip.transformer.resblocks[0].mlp)
    before = remembered(network, images)
    texts.clear()
    network.train()
    with torch.no_grad():
        first, second = network(images), network(images)
    assert len(texts) == 2
    assert (first - second).abs().min() > 0  # other masks, for every image
    network.eval()
    assert torch.equal(remembered(network, images), before)
    assert_like_fresh(network, images, fresh)

    other = fresh(network).train()
    with torch.no_grad():
        other(images)
    assert_like_fresh(other.eval(), images, fresh)


@pytest.mark.parametrize("trainable", ["always", "never", "until scored"])
@pytest.mark.parametrize("first", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_image_gradients_after_scoring(network, images, fresh, trainable, first):
    """As a loss: the score's gradient to the image, twice, each with a graph of its own."""
    network.requires_grad_(trainable != "never")

    def gradient(network):
        x = images.clone().requires_grad_()
        (1 - network(x)).mean().backward()
        return x.grad

    expected = gradient(fresh(network).requires_grad_(trainable == "always"))
    assert expected.isfinite().all()
    assert expected.abs().max() > 0
    with first():
        outputs(network, images)
    network.requires_grad_(trainable == "always")
    for _ in range(2):
        torch.testing.assert_close(gradient(network), expected, **ROUNDING)
        with torch.inference_mode():
            network(images)
    assert_like_fresh(network, images, fresh)


def test_weight_gradients_after_scoring(network, images, fresh):
    def gradients(network):
        loss = outputs_with_gradients(network, images)
        return torch.autograd.grad(loss, [network.text_prompt.ctx, network.visual_prompts.prompt_embeddings])

    def outputs_with_gradients(network, images):
        return network(images).sum() + network.scene_logits(torch.ones(1, 32)).sum()

    expected = gradients(fresh(network))
    with torch.inference_mode():
        outputs(network, images)
    for _ in range(2):
        for found, wanted in zip(gradients(network), expected, strict=True):
            torch.testing.assert_close(found, wanted, **ROUNDING)
            assert wanted.abs().max() > 0


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, lr=0.5),
        lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.9, foreach=True),
        lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
        lambda parameters: torch.optim.Adam(parameters, lr=0.01, fused=True),
    ],
    ids=["sgd", "sgd foreach", "adamw", "adam fused"],
)
def test_optimizer_steps_in_evaluation_mode(network, images, fresh, optimizer):
    optimizer = optimizer(network.parameters())
    for _ in range(2):
        before = remembered(network, images)
        optimizer.zero_grad()
        (1 - network(images)).sum().backward()
        optimizer.step()
        assert_like_fresh(network, images, fresh, changed_from=before)


def test_step_of_the_context_alone(network, images, fresh):
    network.requires_grad_(False)
    network.text_prompt.requires_grad_(True)
    before = remembered(network, images)
    (1 - network(images)).sum().backward()
    torch.optim.SGD([network.text_prompt.ctx], lr=20.0).step()
    assert_like_fresh(network, images, fresh, changed_from=before)


def one_entry(p, new):
    """`p` with one entry of `new`, at a position that no sampling of entries at even distances looks at."""
    changed = p.detach().clone()
    i = min(1, changed.numel() - 1)
    changed.view(-1)[i] = new.view(-1)[i] + 1
    return changed


WRITES = {
    "in place": lambda p, new: p.detach().copy_(new),
    "one entry in place": lambda p, new: p.detach().copy_(one_entry(p, new)),
    "one entry in another .data": lambda p, new: setattr(p, "data", one_entry(p, new)),
    "through .data": lambda p, new: p.data.copy_(new),
    "slight moving average through .data": lambda p, new: p.data.lerp_(new, 0.01),
    "another .data": lambda p, new: setattr(p, "data", new),
}


@pytest.mark.parametrize(
    ("variant", "write"), [*(("vit", write) for write in WRITES), ("other options", "in place")]
)
def test_writes_to_any_one_tensor(small_network, images, fresh, variant, write):
    """Each tensor in turn, so that none is missing from what the memory depends on."""
    network = small_network(variant)
    generator = torch.Generator().manual_seed(2)
    unnoticed = []
    images = images[:1]
    outputs(network, images)
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            new = parameter + 0.1 * torch.randn(parameter.shape, generator=generator)
            WRITES[write](parameter, new)
            expected = outputs(copy.deepcopy(network), images)  # a copy remembers nothing (tested below)
            if not torch.equal(outputs(network, images), expected):
                unnoticed.append(name)
    assert unnoticed == []
    assert torch.equal(outputs(fresh(network), images), expected)


def test_moving_average_through_data(network, small_network, images, fresh):
    """As codes that keep a moving average of weights write them: every tensor, through `.data`."""
    other = small_network(seed=1)
    for _ in range(3):
        before = remembered(network, images)
        for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
            ours.data.mul_(0.9).add_(theirs.data, alpha=0.1)
        assert_like_fresh(network, images, fresh, changed_from=before)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_load_state_dict(network, small_network, images, fresh, assign, mode):
    if assign and mode is torch.inference_mode:
        pytest.skip("torch replaces no parameters in inference mode")
    other = small_network(seed=1)
    before = remembered(network, images)
    with mode():
        network.load_state_dict(other.state_dict(), assign=assign)
    assert_like_fresh(network, images, fresh, changed_from=before)
    torch.testing.assert_close(remembered(network, images), remembered(other, images), rtol=0, atol=0)


@pytest.mark.parametrize("assign", [False, True])
def test_load_state_dict_with_other_words_in_the_vocabulary(network, images, fresh, assign):
    """As many words, but not the same, so that the quality texts are found in other rows: same scores."""
    before = remembered(network, images)
    state = {name: t.clone() for name, t in network.state_dict().items()}
    rows, words = state["clip.token_embedding.weight"], state["vocabulary"]
    needed = {0, *(token for text in network.config.quality_texts for token in clip_token_ids(text))}
    last = max(i for i, word in enumerate(words.tolist()) if word not in needed)
    assert 5 not in words  # it takes the place of the last word that the quality texts can do without
    keep = [i for i in range(len(words)) if i != last]
    state["vocabulary"] = torch.cat([words[:1], torch.tensor([5]), words[keep[1:]]])
    state["clip.token_embedding.weight"] = torch.cat([rows[:1], rows[:1], rows[keep[1:]]])
    network.load_state_dict(state, assign=assign)
    with torch.no_grad():
        expected = fresh(network)(images)
        torch.testing.assert_close(expected.flatten(), before[:3])
        torch.testing.assert_close(network(images), expected, rtol=0, atol=0)


def test_changes_of_precision(network, images, fresh):
    before = remembered(network, images)
    for change in (
        lambda n: n.double(),
        lambda n: n.float(),
        lambda n: reduce_precision(n, torch.bfloat16),
        lambda n: reduce_precision(n, torch.float16),
        lambda n: reduce_precision(n, torch.float32),
        lambda n: n.bfloat16(),
        lambda n: n.to(torch.float16),
        lambda n: n.double(),
    ):
        change(network)
        assert_like_fresh(network, images, fresh)
    assert not torch.equal(remembered(network, images).float(), before)


def test_double_precision_is_not_computed_from_remembered_single(network, images, fresh):
    remembered(network, images)
    network.double()
    with torch.no_grad():
        exact = outputs(network, images.double())
        assert exact.dtype == torch.float64
        torch.testing.assert_close(exact, outputs(fresh(network), images.double()), rtol=0, atol=0)


def test_autocast(network, images, fresh):
    before = remembered(network, images)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        inside = outputs(network, images)
        torch.testing.assert_close(inside, outputs(fresh(network), images), rtol=0, atol=0)
    assert_like_fresh(network, images, fresh)
    assert torch.equal(remembered(network, images), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_changes_of_device(network, images, fresh):
    before = remembered(network, images)
    for device in ("cuda", "cpu", "cuda"):
        network.to(device)
        assert_like_fresh(network, images, fresh)
    torch.testing.assert_close(remembered(network, images).cpu(), before, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))],
    ids=["deepcopy", "pickle"],
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_copies_start_without_memory_and_go_their_own_way(network, images, fresh, duplicate, mode):
    with mode():
        outputs(network, images)
    before = remembered(network, images)
    other = duplicate(network)
    assert not other._cache._entries
    texts = calls_of(other.clip.transformer.resblocks[0].mlp)
    assert torch.equal(remembered(other, images), before)
    assert len(texts) == 2  # quality and scenes
    (1 - other(images)).sum().backward()
    torch.optim.SGD(other.parameters(), lr=0.5).step()
    assert_like_fresh(other, images, fresh, changed_from=before)
    assert torch.equal(remembered(network, images), before)
    assert_like_fresh(network, images, fresh)


def test_requires_grad_off_and_on(network, images, fresh):
    before = remembered(network, images)
    network.requires_grad_(False)
    torch.testing.assert_close(outputs(network, images), before, **ROUNDING)  # gradients on, none wanted
    score = network(images.clone().requires_grad_())
    assert score.requires_grad
    network.requires_grad_(True)
    (1 - network(images)).sum().backward()
    assert all(
        p.grad is not None and p.grad.any()
        for p in (network.text_prompt.ctx, network.visual_prompts.prompt_embeddings)
    )
    with torch.no_grad():
        network.text_prompt.ctx.sub_(20 * network.text_prompt.ctx.grad)
    network.requires_grad_(False)
    assert_like_fresh(network, images, fresh, changed_from=before)


def test_new_parameter_in_place_of_the_old(network, images, fresh):
    before = remembered(network, images)
    for scale in (0.5, -0.5, 0.2):  # the old ones are freed, and their addresses may come again
        network.text_prompt.ctx = nn.Parameter(scale * torch.linspace(-1, 1, 128).view(4, 32))
        assert_like_fresh(network, images, fresh, changed_from=before)
        before = remembered(network, images)


def test_functional_call_with_other_weights(network, small_network, images, fresh):
    other = small_network(seed=1)
    before = remembered(network, images)
    with torch.no_grad():
        found = torch.func.functional_call(network, dict(other.named_parameters()), (images,))
        assert torch.equal(found, other(images))
    assert torch.equal(remembered(network, images), before)


def test_network_made_in_inference_mode(small_network, images, fresh):
    """Its weights carry no version counter, so nothing can be remembered, and nothing is stale."""
    with torch.inference_mode():
        network = small_network()
        before = outputs(network, images)
        network.text_prompt.ctx.add_(0.5)
        network.visual_prompts.prompt_embeddings.mul_(0.5)
        expected = outputs(fresh(network), images)
        torch.testing.assert_close(outputs(network, images), expected, rtol=0, atol=0)
    assert not torch.allclose(expected, before, atol=CHANGE)


def test_dropout_of_the_prompts_alone_is_drawn_at_every_call(network, images, fresh):
    """A network in evaluation mode whose prompts are in training mode: masks must not be remembered."""
    network.visual_prompts.train()
    with torch.no_grad():
        first, second = network(images), network(images)
        assert not torch.equal(first, second)
        assert network(images[:2]).shape == (2, 1)
        network.visual_prompts.eval()
    assert_like_fresh(network, images, fresh)


def test_dropout_switched_off_while_remembered(network, images, fresh):
    remembered(network, images)
    network.visual_prompts.dropout.p = 0.0
    network.train()
    with torch.no_grad():
        trained = outputs(network, images)
    network.eval()
    torch.testing.assert_close(trained, remembered(network, images), rtol=0, atol=1e-5)


def test_cache_alone_keeps_values_until_a_weight_changes():
    cache, weight, calls = WeightCache(), torch.ones(3), []

    def compute():
        calls.append(1)
        return weight * 2

    def get():
        return cache.get("double", [weight], compute)

    assert torch.equal(get(), torch.full((3,), 2.0))
    assert get() is get()
    assert len(calls) == 1
    weight.add_(1)
    assert torch.equal(get(), torch.full((3,), 4.0))
    weight[2] = float("nan")  # never equal to itself: computed every time rather than never
    assert get()[2].isnan()
    assert not get().requires_grad
    weight.requires_grad_()
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            value = cache.get(mode.__name__, [weight], compute)
        assert not value.is_inference()
        assert not value.requires_grad
    assert get().requires_grad


def test_networks_do_not_share_memory(small_network, images):
    one, two = small_network(seed=0), small_network(seed=1)
    first, second = remembered(one, images), remembered(two, images)
    assert not torch.allclose(first, second, atol=CHANGE)
    assert torch.equal(remembered(one, images), first)
    assert isinstance(two, GRMPIQA)
