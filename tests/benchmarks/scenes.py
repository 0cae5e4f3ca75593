"""Whether the embedded backbone knows the nine scenes, on photographs kept out of training.

    python tests/benchmarks/scenes.py PHOTOGRAPHS [--model grmp_iqa-tiny-meta] [--recipe
    configs/tiny/embedded.yml]

PHOTOGRAPHS is the folder that the model was trained on. The scenes are read from captions and labels by their
words (`training/embedded/photographs.py`), which is right for most of them only. Zero-shot: the scene whose
sentence lies nearest to the image features, without prompts, averaged over the views. Prints Markdown.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from grmp_plugin.config import SCENES, read_yaml
from grmp_plugin.data.images import read_image
from grmp_plugin.evaluation.scoring import image_tensor
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import make_views, normalize
from grmp_plugin.training.embedded.backbone import split_photographs
from grmp_plugin.training.embedded.photographs import photographs
from grmp_plugin.training.embedded.settings import Recipe

RECIPE = Path(__file__).parents[2] / "configs" / "tiny" / "embedded.yml"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--model", default="grmp_iqa-tiny-meta")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    arguments = parser.parse_args()
    network = GRMPIQA(arguments.model)
    known = photographs(arguments.photographs)
    _, kept_out = split_photographs(read_yaml(Recipe, arguments.recipe), len(known))
    told, found = [], []
    for photograph in (known[number] for number in kept_out):
        if photograph.scene is None:
            continue
        with torch.inference_mode():
            views = make_views(image_tensor(read_image(photograph.path)), network.config.preprocess)[0]
            features = network.plain_image_features(normalize(views, network.config.preprocess))
            found.append(int(network.scene_logits(features).softmax(-1).mean(0).argmax()))
        told.append(photograph.scene)
    right = np.equal(told, found)
    print(f"{arguments.model}: {right.mean():.3f} of {len(told)} photographs, each scene alike ", end="")
    print(f"{np.mean([right[np.equal(told, s)].mean() for s in set(told)]):.3f}\n")
    print("| scene | photographs | right |\n|---|---|---|")
    for number, scene in enumerate(SCENES):
        chosen = np.equal(told, number)
        if chosen.any():
            print(f"| {scene} | {chosen.sum()} | {right[chosen].mean():.2f} |")


if __name__ == "__main__":
    main()
