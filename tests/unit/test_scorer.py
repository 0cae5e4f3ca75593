"""Scoring rated images repeatedly, with cached tokens."""

import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from grmp_plugin.data.images import read_image
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.errors import ImageError
from grmp_plugin.network.learned import adaptation_names, first_learned_block, tensors_before
from grmp_plugin.threads import decoding_pool
from grmp_plugin.training import scorer as scorer_module
from grmp_plugin.training.few_shot import FewShot
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.scorer import RatedScorer
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.watch import Watch

IMAGES = 20


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = rng.integers(0, 256, (70 + number, 90, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return [str(folder / f"{number}.png") for number in range(IMAGES)]


@pytest.fixture
def scorer_for(paths):
    """A function from a network to a scorer of all images."""
    return lambda network: RatedScorer(RatedViews(paths, np.zeros(IMAGES), network.config.preprocess))


@pytest.fixture
def embedded(monkeypatch):
    """How often each image has been embedded."""
    counts, embed = Counter(), RatedScorer.embed

    def counting(self, network, indices):
        counts.update(indices)
        return embed(self, network, indices)

    monkeypatch.setattr(RatedScorer, "embed", counting)
    return counts


def adapted(network, amount=0.1):
    """The network, with changed values of all parameters that few-shot adaptation learns."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name in adaptation_names(network):
            parameter = network.get_parameter(name)
            parameter.add_(amount * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("variant", ["vit", "trunk"])
@pytest.mark.parametrize("kind", ["squash", "crops"])
def test_scores_are_those_of_the_network(small_network, paths, scorer_for, embedded, variant, kind):
    network = small_network(variant, kind)
    scorer = scorer_for(network)
    order = [3, 17, 0, 3, *range(19, 3, -1)]
    for _ in range(2):
        scores = scorer.scores(network, order)
        with torch.inference_mode():
            expected = [
                network(torch.from_numpy(read_image(paths[i])).permute(2, 0, 1)[None].float() / 255).item()
                for i in order
            ]
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
        assert np.ptp(expected) > 1e-4
        adapted(network)
    assert embedded == Counter(set(order))  # once each, before and after adaptation


def test_scores_do_not_depend_on_the_cache(small_network, scorer_for, monkeypatch, embedded):
    network = small_network("vit", "crops")
    everything = list(range(IMAGES))
    size = scorer_for(network).embed(network, [0])[0].nbytes
    found = []
    for images in (IMAGES, 0, 5):
        monkeypatch.setattr(scorer_module, "_ROOM", images * size)
        scorer = scorer_for(network)
        embedded.clear()
        found.append([scorer.scores(network, everything), scorer.scores(network, everything)])
        assert embedded == {i: 1 if i < images else 2 for i in everything}
    for once, again in found:
        assert np.array_equal(once, found[0][0])
        assert np.array_equal(again, found[0][0])


@pytest.mark.parametrize("changed", ["clip.visual.conv1.local.weight", "visual_prompts.prompt_proj.bias"])
def test_a_network_that_differs_before_gets_its_own_tokens(small_network, scorer_for, embedded, changed):
    first, second = (small_network("trunk", "crops") for _ in range(2))
    with torch.no_grad():
        second.get_parameter(changed).flatten()[0] += 0.5
    scorer = scorer_for(first)
    for network in (first, second, first):
        embedded.clear()
        scores = scorer.scores(network, range(4))
        assert embedded == Counter(range(4))
        assert np.array_equal(scores, scorer_for(network).scores(network, range(4)))


@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize("variant", ["vit", "trunk", "layer scale", "other options"])
def test_tensors_before_a_block(small_network, variant, block):
    network = small_network(variant)
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = network.pass_first_blocks(network.tokens(pixels), block)
    named = tensors_before(network, block)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        kept = tensor.clone()
        tensor.add_(torch.linspace(0.1, 0.5, tensor.numel()).view(tensor.shape))
        if not torch.equal(network.pass_first_blocks(network.tokens(pixels), block), before):
            assert name in named
        tensor.copy_(kept)
    assert torch.equal(network.pass_first_blocks(network.tokens(pixels), block), before)
    assert not named.keys() & set(adaptation_names(network))


def test_the_first_learned_block(small_network):
    network = small_network()
    assert first_learned_block(network) == 2
    assert "clip.visual.transformer.resblocks.2.ln_1.weight" in adaptation_names(network)
    assert "clip.visual.transformer.resblocks.1.ln_1.weight" not in adaptation_names(network)


def test_embeddings_ahead(small_network, scorer_for, monkeypatch):
    network = small_network("vit", "crops")
    scorer = scorer_for(network)
    assert scorer.embeddings_ahead(range(IMAGES), 4) == IMAGES
    size = scorer.embed(network, [0])[0].nbytes
    monkeypatch.setattr(scorer_module, "_ROOM", 5 * size)
    scorer.scores(network, range(3))
    assert scorer.embeddings_ahead(range(3), 4) == 0
    assert scorer.embeddings_ahead(range(5), 4) == 2
    assert scorer.embeddings_ahead(range(10), 4) == 2 + 4 * 5


def test_an_unreadable_image_is_named(small_network, tmp_path):
    network = small_network()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    scorer = RatedScorer(RatedViews([str(broken)], np.zeros(1), network.config.preprocess))
    with pytest.raises(ImageError, match=r"broken\.png"):
        scorer.scores(network, [0])


@pytest.mark.parametrize("protocol", ["own", "released"])
@pytest.mark.parametrize("kind", ["squash", "crops"])
def test_few_shot_embeds_each_image_once(small_checkpoint, paths, embedded, monkeypatch, protocol, kind):
    ratings = Ratings("noise", tuple(paths), np.linspace(1, 5, IMAGES), mos_range=(1.0, 5.0))
    settings = AdaptSettings(method="prompts", protocol=protocol, shots=6, epochs=10, learning_rate=0.05)

    def results():
        few_shot = FewShot(
            small_checkpoint("vit", kind),
            ratings,
            settings,
            device="cpu",
            watch=Watch(),
        )
        return [found for found, _ in few_shot.splits(0, 3)]

    remembered = results()
    assert set(embedded) == set(range(IMAGES))
    # Some are embedded for the estimate, too.
    assert Counter(embedded.values())[1] >= IMAGES - 3 * 4
    assert max(embedded.values()) <= 1 + 3 * 2
    monkeypatch.setattr(scorer_module, "_ROOM", 0)
    changes = []
    for with_memory, without in zip(remembered, results(), strict=True):
        for name in ("before", "after", "shots_before", "shots_after"):
            assert np.array_equal(getattr(with_memory, name), getattr(without, name))
        changes.append(np.abs(with_memory.after - with_memory.before).max())
        # Protocol released may keep the start.
        assert (changes[-1] > 1e-4) == (with_memory.best_epoch != 0)
    assert max(changes) > 1e-4


def test_decoding_pool_drops_work_that_has_not_begun():
    begun = threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.2)

    with decoding_pool(1) as pool:
        first, others = pool.submit(slow), [pool.submit(slow) for _ in range(3)]
        begun.wait()
    assert first.done()
    assert not first.cancelled()
    assert all(other.cancelled() for other in others)
