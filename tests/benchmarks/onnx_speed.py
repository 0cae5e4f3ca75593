"""Speed of onnxruntime on exported networks against PyTorch, on the CPU.

    python tests/benchmarks/onnx_speed.py [--batch 4] [--rounds 9] [--threads 1]

The same views of photographs through both. Each round times both, one after the other; ratios are taken
within a round.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from forward import random_network
from photographs import photographs
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.network.preprocess import make_pixel_views


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    networks = {name: grmp.load(name) for name in ("grmp_iqa-tiny", "grmp_iqa-tiny-meta")}
    networks["ViT-B/16, random weights"] = random_network()
    pictures = [np.asarray(Image.fromarray(one).resize((640, 480))) for one in photographs().values()]
    for name, network in networks.items():
        views = torch.cat(
            [make_pixel_views(one, network.config.preprocess) for one in pictures[: arguments.batch]]
        )
        network.requires_grad_(False)
        with tempfile.TemporaryDirectory() as folder:
            path = grmp.export(Path(folder, "model.onnx"), network)
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        ratios, seconds = [], []
        for _ in range(arguments.rounds + 2):
            with torch.inference_mode():
                started = time.perf_counter()
                ours = network.score_views(views)
                between = time.perf_counter()
                theirs = session.run(None, {"views": views.numpy()})[0]
                ended = time.perf_counter()
            ratios.append((between - started) / (ended - between))
            seconds.append((between - started, ended - between))
        ratios, seconds = np.array(ratios[2:]), np.median(seconds[2:], axis=0)
        difference = np.abs(ours.numpy() - theirs).max()
        print(
            f"{name}: {arguments.batch / seconds[0]:.1f} images/s by PyTorch, "
            f"{arguments.batch / seconds[1]:.1f} by onnxruntime: {np.median(ratios):.2f} times as fast "
            f"({ratios.min():.2f} to {ratios.max():.2f}); scores differ by {difference:.1e} at most",
            flush=True,
        )


if __name__ == "__main__":
    main()
