"""The embedded models from start to end: corpus, backbone, meta-prompts, metric, and what is fitted."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.training.embedded.backbone import train_backbone
from grmp_plugin.training.embedded.corpus import Corpus, corpus_statistics, make_corpus
from grmp_plugin.training.embedded.distortion_axis import distortion_axis
from grmp_plugin.training.embedded.learned_from import digests_of, original_digests
from grmp_plugin.training.embedded.metric import train_metric
from grmp_plugin.training.embedded.photographs import photographs
from grmp_plugin.training.embedded.prior import with_prior
from grmp_plugin.training.embedded.prompts import learn_prompts
from grmp_plugin.training.embedded.rated import rated_views
from grmp_plugin.training.embedded.settings import AxisSettings, Recipe
from grmp_plugin.training.embedded.shortcut import with_shortcut

_PHOTOGRAPHS = 400  # enough to know along which direction the score changes most

log = logging.getLogger(__name__)


def make_models(recipe: Recipe, folder: Path, ratings_file: Path, work: Path, processes: int) -> list[Path]:
    """Make the models, skipping the stages that are complete.

    Args:
        recipe: Settings of all stages.
        folder: Photographs to distort.
        ratings_file: CSV of photographs that people rated.
        work: Folder for the corpus, the state of interrupted stages and the checkpoints.
        processes: Number of worker processes.

    Returns:
        The files of `grmp_iqa-tiny-meta` and `grmp_iqa-tiny`, in half precision.

    Raises:
        InputError, ImageError: when photographs or ratings cannot be used.
        WeightsUnavailableError: when the trunk's weights are not installed.
    """
    ratings = read_ratings(ratings_file, mos_range=recipe.metric.mos_range)
    known = photographs(folder)
    corpus = make_corpus(recipe, known, work / "corpus", processes)
    backbone = _kept(
        work / "backbone.safetensors", lambda state: train_backbone(recipe, known, corpus, state)
    )
    seen: dict[str, Mapping[str, str]] = {
        "photographs": digests_of({p.name: p.path for p in known}, work / "photographs.json", processes)
    }

    def meta_prompts(state: Path) -> Checkpoint:
        return _with(learn_prompts(recipe, backbone, known, state), learned_from=seen)

    meta = _kept(work / "prompts.safetensors", meta_prompts)
    views = rated_views(
        ratings,
        GRMPIQA(meta).clip.visual.conv1.net,
        recipe.network,
        recipe.metric.crops,
        recipe.seed,
        work / "rated.npz",
        processes,
    )
    seen["ratings"] = digests_of({Path(i).name: i for i in ratings.images}, work / "ratings.json", processes)
    seen["originals"] = original_digests(ratings_file)

    def metric(state: Path) -> Checkpoint:
        everything = np.arange(len(ratings.images))
        return _with(train_metric(recipe, meta, corpus, views, everything, state), learned_from=seen)

    def released(trained: Checkpoint) -> Checkpoint:
        return _with(with_prior(trained, corpus, recipe.prior), recipe_version=recipe.version)

    taught = _kept(work / "metric.safetensors", metric)
    files = [work / f"{name}.safetensors" for name in ("grmp_iqa-tiny-meta", "grmp_iqa-tiny")]
    _kept(files[0], lambda state: released(_by_axis(meta, corpus, recipe.axis)))
    _kept(files[1], lambda state: released(taught))
    return files


def _by_axis(checkpoint: Checkpoint, corpus: Corpus, settings: AxisSettings) -> Checkpoint:
    """The checkpoint, whose score also goes by the direction of distortion."""
    axis = distortion_axis(corpus_statistics(checkpoint, corpus), settings.shrinkage)
    undistorted = [(photograph, 0, 0) for photograph in range(min(len(corpus.view), _PHOTOGRAPHS))]
    return with_shortcut(checkpoint, axis, corpus.statistics(undistorted), settings.strength)


def _kept(file: Path, make: Callable[[Path], Checkpoint]) -> Checkpoint:
    """A stage's checkpoint, made unless its file is there."""
    # One state for each stage: killed before the last line, another stage would go on from this one's end.
    state = file.with_suffix(".pt")
    if not file.exists():
        write_checkpoint(make(state), file, half=True)
    state.unlink(missing_ok=True)
    return read_checkpoint(file)


def _with(checkpoint: Checkpoint, **facts: object) -> Checkpoint:
    return dataclasses.replace(checkpoint, info={**checkpoint.info, **facts})
