"""Our data sets in pyiqa's registry, for `python -m pyiqa.train`: few-shot ratings, and distortion tasks."""

import dataclasses
from typing import Any

from grmp_plugin.config import check_keys
from grmp_plugin.data.ratings import read_ratings
from grmp_plugin.data.shots import draw_split
from grmp_plugin.errors import ConfigError
from grmp_plugin.network.start import starting_checkpoint
from grmp_plugin.training.settings import AdaptSettings, PretrainSettings
from grmp_plugin.training.shots_data import RatedViews
from grmp_plugin.training.task_sources import task_sources
from grmp_plugin.training.tasks_data import TaskViews

# What pyiqa itself puts into, or reads from, every data set's options.
_PYIQAS = (
    *("name", "type", "phase", "batch_size_per_gpu", "num_worker_per_gpu", "use_shuffle"),
    *("dataset_enlarge_ratio", "prefetch_mode", "num_prefetch_queue", "pin_memory", "persistent_workers"),
)
_SHOTS = (
    *("dataroot_target", "meta_info_file", "model", "shots", "seed", "sampling", "test_share"),
    *("split_column", "mos_range", "lower_better", "image_column", "mos_column", "reference_column", "views"),
)
_TASKS = ("data", "dataroot", "model", "seed", "images_per_task", "support_share")


class GRMPShotsDataset(RatedViews):
    """Few-shot ratings: in phase `train` the shots, in phase `val` the images to test on.

    Args:
        opt: `meta_info_file` is a ratings file (see `read_ratings`), `dataroot_target` the folder of its
            images, `model` the model that is trained, which decides how images are cut. `shots` (50),
            `seed` (0), `sampling`, `test_share` and `split_column` say which images; give the same to
            both phases. `mos_range`, `lower_better` and the names of columns as for `read_ratings`.

    Raises:
        ConfigError: for an unknown key.
        InputError: when the ratings cannot be used.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        check_keys(opt, [*_PYIQAS, *_SHOTS], f"datasets: {opt.get('name', opt['type'])}")
        self.opt = opt
        mos_range = opt.get("mos_range")
        ratings = read_ratings(
            opt["meta_info_file"],
            images_folder=opt.get("dataroot_target"),
            image_column=opt.get("image_column"),
            mos_column=opt.get("mos_column"),
            reference_column=opt.get("reference_column"),
            lower_better=opt.get("lower_better"),
            mos_range=None if mos_range is None else (float(mos_range[0]), float(mos_range[1])),
        )
        defaults = AdaptSettings()
        split = draw_split(
            ratings,
            int(opt.get("shots", defaults.shots)),
            int(opt.get("seed", 0)),
            sampling=opt.get("sampling", defaults.sampling),
            test_share=opt.get("test_share"),
            column=opt.get("split_column"),
        )
        training = opt.get("phase", "train") == "train"
        chosen = ratings.subset(split.shots if training else split.test)
        quality = ratings.scale(split.shots).to_quality(chosen.mos)
        super().__init__(
            chosen.images,
            quality.clip(0, 1),
            starting_checkpoint(opt["model"], 0).config.preprocess,
            training_views=int(opt.get("views", defaults.views)) if training else None,
            seed=int(opt.get("seed", 0)),
        )


class GRMPTasksDataset(TaskViews):
    """Distortion tasks: an item is one task with its support and query images.

    Args:
        opt: `data`: a list of `drawn`, data sets of pyiqa with synthetic distortions (`tid2013`,
            `kadid10k`; `dataroot` holds them), or folders of pristine images; `model` the model that is
            trained. `seed`, and `images_per_task` and `support_share` as in `PretrainSettings`.

    Raises:
        ConfigError: for an unknown key.
        InputError, DataUnavailableError: when a source of tasks cannot be used.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        check_keys(opt, [*_PYIQAS, *_TASKS], f"datasets: {opt.get('name', opt['type'])}")
        self.opt = opt
        data = opt.get("data", ["drawn"])
        if isinstance(data, str):
            raise ConfigError(f"datasets: {opt.get('name')}: data: expected a list, found {data!r}")
        settings = PretrainSettings()
        given = {key: opt[key] for key in ("images_per_task", "support_share") if key in opt}
        seed = int(opt.get("seed", 0))
        super().__init__(
            task_sources(data, seed=seed, data_root=opt.get("dataroot")),
            starting_checkpoint(opt["model"], 0).config.preprocess,
            dataclasses.replace(settings, **given),
            seed,
        )
