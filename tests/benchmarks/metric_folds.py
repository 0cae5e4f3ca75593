"""How well the recipe of `grmp_iqa-tiny` judges photographs that it did not learn from: cross-validation.

    python tests/benchmarks/metric_folds.py PHOTOGRAPHS RATINGS --work .work/embedded [--folds 5] [--only 0 1]

The metric's stage is run again without each fold of the rated photographs in turn, from the corpus and the
meta-prompts that `make embedded` left in the work folder; the fold is scored as `grmp score` does it. Prints
Markdown: SRCC and PLCC over all folds with 95% bootstrap intervals, and each fold's. Beside it ridge
regression on the trunk's statistics with the same folds. Folds that are done are kept in the work folder.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from grmp_plugin.config import read_yaml
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.statistics.agreement import bootstrap_interval
from grmp_plugin.statistics.correlation import plcc, srcc
from grmp_plugin.training.embedded.corpus import make_corpus
from grmp_plugin.training.embedded.metric import train_metric
from grmp_plugin.training.embedded.photographs import photographs
from grmp_plugin.training.embedded.rated import rated_views
from grmp_plugin.training.embedded.settings import Recipe

RECIPE = Path(__file__).parents[2] / "configs" / "tiny" / "embedded.yml"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("ratings", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", help="these folds alone")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe, work = read_yaml(Recipe, arguments.recipe), arguments.work
    ratings = read_ratings(arguments.ratings, mos_range=recipe.metric.mos_range)
    corpus = make_corpus(recipe, photographs(arguments.photographs), work / "corpus", 1)
    meta = read_checkpoint(work / "prompts.safetensors")
    trunk = GRMPIQA(meta).clip.visual.conv1.net
    crops, seed = recipe.metric.crops, recipe.seed
    views = rated_views(ratings, trunk, recipe.network, crops, seed, work / "rated.npz", 1)
    everything = np.random.default_rng(0).permutation(len(ratings.images))
    statistics = views.view.astype(np.float32).mean(1)
    found = {name: np.full(len(everything), np.nan) for name in ("grmp_iqa-tiny", "ridge on the trunk")}
    for fold in arguments.only or range(arguments.folds):
        tested = everything[fold :: arguments.folds]
        learned_from = np.setdiff1d(everything, tested)
        kept = work / f"fold-{fold}-of-{arguments.folds}.npy"
        if not kept.exists():
            state = kept.with_suffix(".pt")
            network = GRMPIQA(train_metric(recipe, meta, corpus, views, learned_from, state))
            rows = Scorer(network, ScoringOptions(device="cpu")).score([ratings.images[i] for i in tested])
            np.save(kept, np.array([row.score for row in rows]))
            state.unlink(missing_ok=True)
        found["grmp_iqa-tiny"][tested] = np.load(kept)
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 6, 13)))
        ridge.fit(statistics[learned_from], views.quality[learned_from])
        found["ridge on the trunk"][tested] = ridge.predict(statistics[tested])
        told = ", ".join(f"{n} {srcc(p[tested], ratings.mos[tested]):.3f}" for n, p in found.items())
        print(f"fold {fold}, {len(tested)} photographs, SRCC: {told}", flush=True)
    print("\n| | photographs | SRCC (95%) | PLCC (95%) |\n|---|---|---|---|")
    for name, scores in found.items():
        tested = np.flatnonzero(np.isfinite(scores))
        cells = []
        for name_of_it, statistic in (("srcc", srcc), ("plcc", plcc)):
            values = (scores[tested], ratings.mos[tested])
            interval = bootstrap_interval(*values, name_of_it)
            cells.append(f"{statistic(*values):.3f} ({interval.low:.3f} to {interval.high:.3f})")
        print(f"| {name} | {len(tested)} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
