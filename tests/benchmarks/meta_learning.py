"""How outer rate, inner rate and outer steps of the meta-prompts act on distortions held out of them.

    python tests/benchmarks/meta_learning.py --outer-rate 1 --inner-rate 1e-3 --steps 30

On the backbone of grmp_iqa-tiny-meta, which has seen no quality label, from new prompts: 22 of the 30 kinds
of the bank are tasks, drawn; every fourth kind is held out and scored without any adaptation, on other drawn
scenes. Prints, every few outer steps, the mean SRCC within the held-out kinds, the quality loss there, and
how far the prompts moved.
"""

import argparse

import numpy as np
import torch
from scipy.stats import spearmanr

from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.start import starting_checkpoint
from grmp_plugin.synthetic.distortions import DISTORTIONS
from grmp_plugin.synthetic.tasks import drawn_tasks
from grmp_plugin.training.losses import quality_loss
from grmp_plugin.training.meta_prompts import _batches, _options
from grmp_plugin.training.pretrain_model import GRMPPretrainModel
from grmp_plugin.training.settings import PretrainSettings
from grmp_plugin.training.task_views import TaskViews


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--outer-rate", type=float, default=1.0)
    parser.add_argument("--inner-rate", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = PretrainSettings(
        outer_steps=arguments.steps,
        inner_learning_rate=arguments.inner_rate,
        outer_learning_rate=arguments.outer_rate,
        support_batch=40,
        query_batch=20,
    )
    start = starting_checkpoint("grmp_iqa-tiny-meta", 0)
    held_out = start.info["held_out"]
    kinds = [kind for kind in DISTORTIONS if kind not in held_out]
    trainer = GRMPPretrainModel(_options(start, settings, arguments.seed, "cpu"))
    preprocess = trainer.net.config.preprocess
    tasks = TaskViews([drawn_tasks(pictures=90, seed=0, kinds=kinds)], preprocess, settings, arguments.seed)
    tested = TaskViews([drawn_tasks(pictures=36, seed=1, kinds=held_out)], preprocess, settings, 99)
    held = [tested.draw(index, 0) for index in range(len(tested))]
    print("| outer steps | SRCC, held-out kinds | quality loss there | moved |\n|---|---|---|---|")
    print(row(0, trainer, held), flush=True)
    total = settings.outer_steps * settings.tasks_per_step
    done = epoch = 0
    while done < total:
        for draw in _batches(tasks, total)(epoch):
            trainer.feed_data(draw())
            done += 1
            trainer.optimize_parameters(done)
            if done % (10 * settings.tasks_per_step) == 0 or done == total:
                print(row(done // settings.tasks_per_step, trainer, held), flush=True)
        epoch += 1


@torch.no_grad()
def row(step: int, trainer: GRMPPretrainModel, held: list) -> str:
    """One line of the table, for the meta-prompts as they are now."""
    correlations, losses = [], []
    with trainer._meta_prompts():
        trainer.net.eval()
        for task in held:
            views = torch.cat([task["support"], task["query"]]).float() / 255
            quality = torch.cat([task["support_quality"], task["query_quality"]])
            pixels = normalize(views, trainer.net.config.preprocess)
            logits = trainer.net.quality_logits(trainer.net.image_features(pixels))
            correlations.append(spearmanr(logits.softmax(-1)[:, 0], quality).statistic)
            losses.append(quality_loss(logits, quality).item())
    return f"| {step} | {np.mean(correlations):.3f} | {np.mean(losses):.3f} | {trainer.moved():.2%} |"


if __name__ == "__main__":
    main()
