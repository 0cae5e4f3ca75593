"""Speed of the forward pass: prompts as keys and values, against the plain concatenated form.

    python tests/benchmarks/forward.py [--batch 8] [--rounds 9]

ViT-B/16 with random weights, text features computed beforehand in all three. Each round times all three, one
after another, so that a drift of the machine touches them alike; ratios are taken within a round.
"""

import argparse
import copy
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
from grmp_plugin.network.precision import reduce_precision
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.texts import vocabulary_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import plain_form


def random_network(seed: int = 0) -> GRMPIQA:
    """The paper's architecture, untrained."""
    config = NetworkConfig()
    tensors = untrained_backbone(config, vocabulary_of(config.quality_texts), seed)
    return GRMPIQA(Checkpoint(config, {**tensors, **initial_prompts(config, seed)}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8, help="images (8)")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (9)")
    arguments = parser.parse_args()
    network = random_network()
    reduced = reduce_precision(copy.deepcopy(network), torch.bfloat16)
    views = torch.rand(arguments.batch, 1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    pixels = normalize(views[:, 0], network.config.preprocess)
    with torch.inference_mode():
        scaled_texts = network.clip.logit_scale.exp() * network.quality_text_features()
        forms: dict[str, Callable[[], torch.Tensor]] = {
            "plain float32": lambda: (plain_form.image_features(network, pixels) @ scaled_texts.T).softmax(
                -1
            )[:, :1],
            "ours float32": lambda: network.score_views(views),
            "ours bfloat16": lambda: reduced.score_views(views),
        }
        scores = {name: run() for name, run in forms.items()}
        seconds = {name: [] for name in forms}
        for _ in range(arguments.rounds):
            for name, run in forms.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {arguments.batch}")
    reference = "plain float32"
    for name in forms:
        ratios = np.array(seconds[reference]) / np.array(seconds[name])
        difference = (scores[name] - scores[reference]).abs().max().item()
        print(
            f"{name}: {np.median(ratios):.2f}x (rounds {ratios.min():.2f} to {ratios.max():.2f}), "
            f"largest score difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
