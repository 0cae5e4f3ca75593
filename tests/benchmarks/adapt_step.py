"""Seconds of one step of few-shot adaptation, against the plain form of the released code.

    python tests/benchmarks/adapt_step.py [--shots 50] [--rounds 3] [--kept-views 16] [--threads 2]

ViT-B/16 with random weights, one step on all shots, lambda 5. Each round times all forms, one after another,
so that a drift of the machine touches them alike; ratios are taken within a round.

The plain form passes the prompts through all blocks as tokens, encodes texts of 77 tokens every step, runs
the teacher every step, and takes two backward passes over the whole graph. `plain` needs gradients for the
last third of both towers and the context only, as the released code; `plain, all` for every weight.

`ours` takes new views and dropout masks, as the released code does: the method is the same. `ours, N kept
views` picks among N fixed ones, whose tokens and teacher's distributions are kept; it is timed once they are.
What filling the cache takes is printed beside it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from grmp_plugin.config import NetworkConfig
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.initial import initial_prompts, untrained_backbone
from grmp_plugin.network.learned import adaptation_names, learn_only
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.texts import vocabulary_of
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.gradient import regularize
from grmp_plugin.training.losses import quality_loss, semantic_loss
from grmp_plugin.training.prompts_run import trainer_options
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.views import pick_views

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import plain_form


class PlainStep:
    """The step of the released code, in its plain form.

    Args:
        checkpoint: The start.
        everything: Whether all weights need gradients.
    """

    def __init__(self, checkpoint: Checkpoint, everything: bool) -> None:
        self.network = GRMPIQA(checkpoint)
        names = [name for name, _ in self.network.named_parameters()] if everything else None
        self.learned = learn_only(self.network, names or adaptation_names(self.network))
        self.teacher = GRMPIQA(checkpoint)
        self.dropout = torch.nn.Dropout(checkpoint.config.prompt_dropout)
        self.optimizer = torch.optim.SGD(self.learned.values(), lr=1e-3, weight_decay=1e-4)

    def __call__(self, batch: dict[str, torch.Tensor]) -> None:
        config, network = self.network.config, self.network
        views = pick_views(batch["img"], config.preprocess, torch.Generator().manual_seed(0))
        pixels = normalize(views.float() / 255, config.preprocess)
        width = network.visual_prompts.prompt_embeddings.shape[-1]
        ones = torch.ones(len(pixels), config.visual_prompts, width)
        masks = [self.dropout(ones) for _ in network.clip.visual.transformer.resblocks]
        scale = network.clip.logit_scale.exp()
        features = plain_form.image_features(network, pixels, masks)
        quality = plain_form.text_features(network, config.quality_texts, network.text_prompt.ctx)
        scenes = plain_form.text_features(network, config.scene_texts)
        with torch.no_grad():
            plain = self.teacher.plain_image_features(pixels)
            texts = plain_form.text_features(self.teacher, config.scene_texts)
            teacher = self.teacher.clip.logit_scale.exp() * plain @ texts.T
        first = quality_loss(scale * features @ quality.T, batch["mos_label"][:, 0])
        second = semantic_loss(scale * features @ scenes.T, teacher)
        parameters = list(self.learned.values())
        gradients = torch.autograd.grad(first, parameters, retain_graph=True, allow_unused=True)
        semantic = torch.autograd.grad(second, parameters, allow_unused=True)
        regularized = regularize(gradients, semantic, 5.0)
        for parameter, gradient in zip(parameters, regularized.gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad()


class OurStep:
    """The step of our trainer.

    Args:
        checkpoint: The start.
        kept_views: See `AdaptSettings`.
    """

    def __init__(self, checkpoint: Checkpoint, kept_views: int | None) -> None:
        settings = AdaptSettings(method="prompts", kept_views=kept_views)
        self.trainer = GRMPAdaptModel(trainer_options(checkpoint, settings, 0, "cpu"))
        self.kept_views = kept_views
        self.steps = 0

    def fill(self, batch: dict[str, torch.Tensor]) -> float:
        """Seconds until all views of all shots are kept."""
        start = time.perf_counter()
        for number, views in zip(batch["index"].tolist(), batch["img"], strict=True):
            for view in range(self.kept_views or 0):
                with torch.no_grad():
                    self.trainer.frozen._kept_view(number, view, views)
        return time.perf_counter() - start

    def __call__(self, batch: dict[str, torch.Tensor]) -> None:
        self.steps += 1
        self.trainer.feed_data(batch)
        self.trainer.optimize_parameters(self.steps)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shots", type=int, default=50, help="images in the step (50)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--kept-views", type=int, default=16, help="kept views of each shot (16)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads (torch's)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = NetworkConfig()
    texts = (*config.quality_texts, *config.scene_texts)
    tensors = untrained_backbone(config, vocabulary_of(texts), 0)
    checkpoint = Checkpoint(config, {**tensors, **initial_prompts(config, 0)})
    generator = torch.Generator().manual_seed(0)
    side = config.preprocess.resize
    batch = {
        "img": torch.randint(256, (arguments.shots, 1, 3, side, side), generator=generator).to(torch.uint8),
        "mos_label": torch.rand(arguments.shots, 1, generator=generator),
        "index": torch.arange(arguments.shots),
    }
    keeping = OurStep(checkpoint, arguments.kept_views)
    forms: dict[str, Callable[[dict[str, torch.Tensor]], None]] = {
        "plain": PlainStep(checkpoint, everything=False),
        "plain, all": PlainStep(checkpoint, everything=True),
        "ours": OurStep(checkpoint, None),
        f"ours, {arguments.kept_views} kept views": keeping,
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.shots} shots")
    print(f"filling the cache of views: {keeping.fill(batch):.1f} s", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(arguments.rounds):
        for name, run in forms.items():
            start = time.perf_counter()
            run(batch)
            seconds[name].append(time.perf_counter() - start)
    for name, taken in seconds.items():
        ratios = [
            f"{np.median(r):.2f}x {plain} ({r.min():.2f} to {r.max():.2f})"
            for plain in ("plain", "plain, all")
            for r in [np.array(seconds[plain]) / np.array(taken)]
            if name.startswith("ours")
        ]
        print(f"{name}: {np.median(taken):.1f} s a step" + "".join(f"; {ratio}" for ratio in ratios))


if __name__ == "__main__":
    main()
