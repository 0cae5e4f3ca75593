"""Our data sets in pyiqa's registry, for `python -m pyiqa.train`: few-shot ratings, and distortion tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from grmp_plugin.config import from_dict
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.data.splits import draw_split
from grmp_plugin.errors import ConfigError
from grmp_plugin.files import DATA_ROOT
from grmp_plugin.network.start import starting_checkpoint
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.settings import PretrainSettings, ShotsSettings, TaskSettings
from grmp_plugin.training.task_sources import DRAWN, task_sources
from grmp_plugin.training.task_views import TaskViews

T = TypeVar("T")

# What pyiqa itself puts into, or reads from, every data set's options.
_PYIQAS = (
    *("name", "type", "phase", "batch_size_per_gpu", "num_worker_per_gpu", "use_shuffle"),
    *("dataset_enlarge_ratio", "prefetch_mode", "num_prefetch_queue", "pin_memory", "persistent_workers"),
)


@dataclass(frozen=True)
class ShotsOptions(ShotsSettings):
    """The section of a `GRMPShotsDataset`; see also `read_ratings`."""

    meta_info_file: str | None = None  # a ratings file; required
    model: str | None = None  # the model that is trained, whose views are made; required
    dataroot_target: str | None = None  # folder of the images; null: that of the ratings file
    seed: int = 0  # decides the shots, so must be the same in both phases
    split_column: str | None = None
    mos_range: Sequence[float] | None = None  # low and high
    lower_better: bool | None = None
    image_column: str | None = None
    mos_column: str | None = None
    reference_column: str | None = None

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        _require(self, "meta_info_file", "model")
        ends = self.mos_range
        if ends is not None and (not isinstance(ends, list | tuple) or len(ends) != 2):
            raise ConfigError(f"mos_range: expected a list of low and high, found {ends!r}")


@dataclass(frozen=True)
class TasksOptions(TaskSettings):
    """The section of a `GRMPTasksDataset`."""

    model: str | None = None  # the model that is trained, whose views are made; required
    data: tuple[str, ...] = (DRAWN,)  # or pyiqa's tid2013 and kadid10k
    pristine: str | None = None  # a folder of pristine images, instead of data
    dataroot: str = DATA_ROOT  # folder of pyiqa's data sets
    seed: int = 0

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        _require(self, "model")


class GRMPShotsDataset(RatedViews):
    """Few-shot ratings: the shots in phase `train`, the test images in phase `val`.

    Args:
        opt: The fields of `ShotsOptions`, beside pyiqa's own.

    Raises:
        ConfigError: For an unknown key, a value of the wrong type, or a batch larger than the number of
            shots, with which pyiqa would take no step at all.
        InputError: When the ratings cannot be used.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        options = _read(ShotsOptions, opt)
        low_high = options.mos_range
        ratings = read_ratings(
            str(options.meta_info_file),
            images_folder=options.dataroot_target,
            image_column=options.image_column,
            mos_column=options.mos_column,
            reference_column=options.reference_column,
            lower_better=options.lower_better,
            mos_range=None if low_high is None else (float(low_high[0]), float(low_high[1])),
        )
        split = draw_split(
            ratings,
            options.shots,
            options.seed,
            sampling=options.sampling,
            test_share=options.test_share,
            column=options.split_column,
        )
        training = opt.get("phase", "train") == "train"
        batch = opt.get("batch_size_per_gpu", 1)
        if training and batch > len(split.shots):
            raise ConfigError(
                f"datasets: {opt.get('name')}: batch_size_per_gpu: at most {len(split.shots)}, the number of "
                f"shots, not {batch}: pyiqa drops incomplete batches, and would take no step at all"
            )
        chosen = ratings.subset(split.shots if training else split.test)
        quality = ratings.scale(split.shots).to_quality(chosen.mos)
        super().__init__(
            chosen.images,
            quality.clip(0, 1) if training else quality,
            starting_checkpoint(str(options.model), 0).config.preprocess,
            training_views=options.views if training else None,
            seed=options.seed,
        )


class GRMPTasksDataset(TaskViews):
    """Distortion tasks: an item is one task with its support and query images.

    Args:
        opt: The fields of `TasksOptions`, beside pyiqa's own.

    Raises:
        ConfigError: For an unknown key or a value of the wrong type.
        InputError: When a source of tasks cannot be used.
        DataUnavailableError: When a data set would have to be downloaded and cannot be.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        options = _read(TasksOptions, opt)
        settings = PretrainSettings(
            images_per_task=options.images_per_task, support_share=options.support_share
        )
        super().__init__(
            task_sources(
                options.data, seed=options.seed, pristine=options.pristine, data_root=options.dataroot
            ),
            starting_checkpoint(str(options.model), 0).config.preprocess,
            settings,
            options.seed,
        )


def _read(kind: type[T], opt: dict[str, Any]) -> T:
    given = {key: value for key, value in opt.items() if key not in _PYIQAS}
    return from_dict(kind, given, f"datasets: {opt.get('name', opt.get('type'))}")


def _require(options: object, *names: str) -> None:
    for name in names:
        if getattr(options, name) is None:
            raise ConfigError(f"{name} is missing")
