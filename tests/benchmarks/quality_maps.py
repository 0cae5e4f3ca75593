"""Whether quality maps show where a photograph is degraded: in one quarter, where the map must be lower.

    OMP_NUM_THREADS=1 python tests/benchmarks/quality_maps.py [--ways windows half tokens] [--levels 3 4 5]

Twelve photographs from scikit-image and scikit-learn, every kind of the distortion bank, in one random
quarter, which is cut out, distorted and put back; leaving out what changes nothing (the colours of a grey
photograph). A case counts when the map's mean in that quarter is below the mean of the other three: `raw`.
A quarter may have been poor before; `relative` compares the same differences with those of the undegraded
photograph. Kinds of tone and colour are listed apart: a darker quarter need not be a worse one.

Ways: `windows` is what `quality_map` does; `half` the same at half the scale; `tokens` passes all tokens
through the last block, compares each patch token of the same windows with the two texts, and averages what
covers a place. The last two are not shipped. About 5 minutes for each way, on one core.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from photographs import photographs

from grmp_plugin.evaluation.quality_map import Windows, quality_map
from grmp_plugin.evaluation.scoring import image_tensor
from grmp_plugin.network import towers
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort

SEED = 0
# Damage of a place, whatever the rest of the picture looks like.
LOCAL = [
    name
    for name, kind in DISTORTIONS.items()
    if kind.family not in ("tone", "colour") or name in ("colour_shift", "colour_bleeding")
]

Way = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 -> a map (h, w)


class Remembering:
    """A function of views, computed once for each: three quarters of an image are the same in every case.

    Args:
        compute: views (B, ...) -> (B, ...).
    """

    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.compute = compute
        self.known: dict[bytes, torch.Tensor] = {}
        self.held: dict[bytes, torch.Tensor] = {}

    def __call__(self, views: torch.Tensor) -> torch.Tensor:
        keys = [view.numpy().tobytes() for view in views]
        new = {key: view for key, view in zip(keys, views, strict=True) if key not in self.known}
        if new:
            self.known.update(zip(new, self.compute(torch.stack(list(new.values()))), strict=True))
        return torch.stack([self.known[key] for key in keys])

    def hold(self) -> None:
        """Keep what is known now when `forget` is called."""
        self.held = dict(self.known)

    def forget(self) -> None:
        """Keep only what `hold` found."""
        self.known = dict(self.held)


def token_quality(network: GRMPIQA, views: torch.Tensor) -> torch.Tensor:
    """Quality at each patch of views (B, 1, 3, S, S): (B, patches)."""
    visual = network.clip.visual
    x = network.tokens(normalize(views.flatten(0, 1), network.config.preprocess))
    prompts = network.visual_prompts.keys_values(visual.transformer.resblocks)
    for number, block in enumerate(visual.transformer.resblocks):
        x = towers._block(block, x, prompts[number])
    patches = network.visual_prompts.finish(x[:, 1:].flatten(0, 1))
    logits = network.quality_logits(towers.project_image(visual, patches))
    return logits.softmax(-1)[:, 0].view(len(views), -1)


def token_map(network: GRMPIQA, score: Remembering, image: np.ndarray) -> np.ndarray:
    """The map of `tokens`, a value for each pixel of the reduced image."""
    with torch.inference_mode():
        windows = Windows(image_tensor(image.copy()), network.config.preprocess)
        qualities = torch.cat([score(views) for views in windows.batches(16)]).numpy()
    total, covered = np.zeros((2, windows.height, windows.width))
    side = windows.side
    places = [(top, left) for top in windows.tops for left in windows.lefts]
    grid = round(qualities.shape[1] ** 0.5)
    patch = torch.nn.Upsample((side, side))
    for (top, left), values in zip(places, qualities, strict=True):
        square = patch(torch.from_numpy(values).view(1, 1, grid, grid))[0, 0].numpy()
        total[top : top + side, left : left + side] += square
        covered[top : top + side, left : left + side] += 1
    return total / covered


def make_way(name: str, model: str) -> tuple[Way, Remembering]:
    """A way to draw maps, and its memory."""
    network = GRMPIQA(model).requires_grad_(False)
    if name == "tokens":
        memory = Remembering(lambda views: token_quality(network, views))
        return lambda image: token_map(network, memory, image), memory
    if name == "half":
        seen = network.config.preprocess
        network.config = replace(network.config, preprocess=replace(seen, short_side=seen.short_side // 2))
    memory = Remembering(network.score_views)
    network.score_views = memory
    return lambda image: quality_map(network, image).values, memory


def lower_there(values: np.ndarray, quarter: int) -> float:
    """Mean of a map in a quarter minus the mean of the other three, each cell by its area."""
    rows, columns = (
        np.clip(side / 2 - np.arange(side), 0, 1)
        for side in values.shape  # share in the first half
    )
    down, across = (rows, 1 - rows)[quarter // 2], (columns, 1 - columns)[quarter % 2]
    inside = np.outer(down, across)
    return float(np.average(values, weights=inside) - np.average(values, weights=1 - inside))


def share(found: dict, index: int, kinds: list[str], levels: list[int], photograph: str = "") -> str:
    """Share of the cases below 0."""
    cases = [
        case[index] < 0
        for (name, kind, level), case in found.items()
        if kind in kinds and level in levels and photograph in ("", name)
    ]
    return f"{np.mean(cases):.2f}" if cases else "-"


def measure(way: Way, memory: Remembering, pictures: dict[str, np.ndarray], levels: list[int]) -> dict:
    """(photograph, kind, level) -> raw and relative difference of the degraded quarter."""
    found = {}
    for number, (name, pristine) in enumerate(pictures.items()):
        print(f"{name} {pristine.shape[1]}x{pristine.shape[0]}", file=sys.stderr, flush=True)
        memory.known.clear()
        before = way(pristine)
        memory.hold()
        rng = np.random.default_rng([SEED, number])
        height, width = (side // 2 for side in pristine.shape[:2])
        for kind in DISTORTIONS:
            for level in range(1, 6):
                quarter = int(
                    rng.integers(4)
                )  # drawn for every level, so that a choice of levels changes none
                if level not in levels:
                    continue
                image = pristine.copy()
                top, left = (
                    (quarter // 2) * (pristine.shape[0] - height),
                    (quarter % 2) * (pristine.shape[1] - width),
                )
                place = (slice(top, top + height), slice(left, left + width))
                image[place] = distort(pristine[place], kind, level, SEED + number)
                if not np.array_equal(image, pristine):
                    raw = lower_there(way(image), quarter)
                    found[name, kind, level] = raw, raw - lower_there(before, quarter)
                memory.forget()
    return found


def report(found: dict[str, dict], levels: list[int]) -> None:
    """The tables, as Markdown."""
    both = ["raw", "relative"]

    def row(first: str, *chosen: object) -> None:
        cells = [share(cases, index, *chosen) for cases in found.values() for index in range(2)]
        print(f"| {first} | " + " | ".join(cells) + " |")

    def head(first: str) -> None:
        columns = [f"{way}, {which}" for way in found for which in both]
        print(f"\n| {first} | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))

    rest = [kind for kind in DISTORTIONS if kind not in LOCAL]
    print(f"{len(next(iter(found.values())))} cases; share in which the map is lower in the degraded quarter")
    head("level")
    for level in levels:
        row(f"{level}, local kinds", LOCAL, [level])
    for level in levels:
        row(f"{level}, tone and colour", rest, [level])
    strong = [level for level in levels if level >= 4] or levels
    head(f"kind, levels {' '.join(map(str, strong))}")
    for kind in LOCAL + rest:
        row(kind + ("" if kind in LOCAL else " (tone and colour)"), [kind], strong)
    head(f"photograph, local kinds, levels {' '.join(map(str, strong))}")
    for name in dict.fromkeys(name for cases in found.values() for name, _, _ in cases):
        row(name, LOCAL, strong, name)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--model", default="grmp_iqa-tiny")
    parser.add_argument("--ways", nargs="+", default=["windows"], choices=["windows", "half", "tokens"])
    parser.add_argument("--levels", nargs="+", type=int, default=[3, 4, 5])
    parser.add_argument("--photographs", type=int, default=12, help="how many of the twelve (12)")
    arguments = parser.parse_args()
    pictures = dict(list(photographs().items())[: arguments.photographs])
    found: dict[str, dict] = defaultdict(dict)
    for name in arguments.ways:
        found[name] = measure(*make_way(name, arguments.model), pictures, arguments.levels)
    report(found, arguments.levels)


if __name__ == "__main__":
    main()
