"""Settings of both training stages, for ViT-B/16 by default; read from YAML, strictly.

Each option is defined once: pyiqa's sections (`train`, `datasets`) and our settings share base classes.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from grmp_plugin.config import PromptConfig
from grmp_plugin.data.splits import check_sampling
from grmp_plugin.errors import ConfigError
from grmp_plugin.plain_data import shown

METHODS = ("auto", "prompts", "ridge")
PROTOCOLS = ("own", "released")
META_PROTOCOLS = ("paper", "released")
TRAINING_PRECISIONS = ("fp32", "bf16", "fp16")
_FORMER_NAME = "reference"  # what `released` was called before

_LARGEST = 1_000_000  # number of anything, and learning rate
_LARGEST_SEED = 2**32 - 1


class _Checked:
    """Base of all settings, so that each class can check its own fields and call the next one."""

    def __post_init__(self) -> None:
        """Check nothing."""


@dataclass(frozen=True)
class ShotsSettings(_Checked):
    """Which rated images are the shots, and what training sees of them."""

    shots: int = 50  # rated images to learn from
    sampling: str = "random"  # or spread: over the MOS range
    # Share of the images, or of the originals, kept for testing. null: all images that are no shots; half if
    # the shots are spread or there are originals; protocol released: 0.2.
    test_share: float | None = None
    views: int = 16  # random crops prepared of each shot, for models that look at crops

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        check_sampling(self.shots, self.sampling, self.test_share)
        _not_too_large("shots", self.shots)
        _positive(self, "views")


@dataclass(frozen=True)
class StepSettings(_Checked):
    """A step of gradient adaptation; `GRMPAdaptModel` reads it from pyiqa's section `train`."""

    strength: float = 5.0  # lambda of the gradient regularization; 0: none
    # Random views of each shot, each with a dropout mask of the prompts; what the blocks that do not learn
    # make of them is computed once and kept: faster. null: new ones in every step, as in the authors' code.
    kept_views: int | None = None
    precision: str = "fp32"  # or bf16, fp16: autocast, with the losses scaled in fp16; for GPUs

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        _not_negative(self, "strength")
        _one_of("precision", self.precision, TRAINING_PRECISIONS)
        if self.kept_views is not None:
            _positive(self, "kept_views")


@dataclass(frozen=True)
class AdaptSettings(ShotsSettings, StepSettings):
    """Few-shot adaptation.

    Method `prompts` adapts prompts and last blocks by gradients, as published; `ridge` fits a linear head to
    the frozen features; `auto` chooses between them, both together and the model as it was by
    cross-validation inside the shots. Protocol `released` has method `prompts` only.

    The learning rate falls to zero in a half cosine over the epochs. Protocol `released` follows the
    authors' released code instead: it evaluates on the test images every five epochs, keeps the best epoch,
    and lowers the learning rate when none was better for a while. Only it may split versions of one original.
    """

    RELEASED_TEST_SHARE: ClassVar[float] = 0.2

    method: str = "auto"
    protocol: str = "own"
    split_by: str = "reference"  # or image, with protocol released: versions of an original on both sides
    epochs: int = 200  # ours; protocol released: 2000, at most
    batch_size: int = 192  # images
    learning_rate: float = 1e-3  # SGD without momentum
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        _one_of("method", self.method, METHODS)
        _one_of("protocol", self.protocol, PROTOCOLS)
        if self.protocol == "released" and self.method == "ridge":
            raise ConfigError("protocol released adapts by gradients", argument="method", see=("protocol",))
        check_sampling(self.shots, self.sampling, self.test_share, self.split_by)
        if self.split_by == "image" and self.protocol != "released":
            raise ConfigError(
                "image puts versions of one original on both sides, as only protocol released does",
                argument="split_by",
            )
        _positive(self, "epochs", "batch_size", "learning_rate")
        _not_negative(self, "weight_decay")


@dataclass(frozen=True)
class TaskSettings(_Checked):
    """How the images of a distortion task are used."""

    support_share: float = 0.8  # share of a task's images that are support images
    images_per_task: int | None = None  # at most so many, drawn for each visit; null: all

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        if not 0 < self.support_share < 1:
            raise ConfigError(f"must be between 0 and 1, not {self.support_share}", argument="support_share")
        if self.images_per_task is not None and self.images_per_task < 4:
            raise ConfigError(f"must be at least 4, not {self.images_per_task}", argument="images_per_task")


@dataclass(frozen=True)
class MetaSettings(_Checked):
    """The outer loop; `GRMPPretrainModel` reads it from pyiqa's section `train`.

    Protocol `paper`: each task starts from the current meta-prompts. `released`: as in the authors' released
    code, tasks chain in a model that is never reset, 24 of them per outer step.
    """

    protocol: str = "paper"
    outer_learning_rate: float = 1.0  # beta, ours; protocol released: 0.01
    tasks_per_step: int = 5  # tasks averaged in an outer step, ours; protocol released: 24
    support_batch: int = 75  # images
    query_batch: int = 50  # images

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        _one_of("protocol", self.protocol, META_PROTOCOLS)
        _positive(self, "outer_learning_rate", "tasks_per_step", "support_batch", "query_batch")


@dataclass(frozen=True)
class PretrainSettings(MetaSettings, TaskSettings):
    """Meta-prompt pre-training over distortion tasks."""

    outer_steps: int = 200  # ours; protocol released: 100
    inner_learning_rate: float = 1e-4  # Adam

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        super().__post_init__()
        _positive(self, "outer_steps", "inner_learning_rate")


@dataclass(frozen=True)
class AdaptConfig:
    """A configuration file for adaptation."""

    stage: ClassVar[str] = "adapt"

    model: str = "grmp_iqa-tiny"
    # CLIP's weights, for a model without its own: a tag of open_clip, or a file; null: OpenAI's
    backbone_weights: str | None = None
    data: str | None = None  # ratings file or name of a data set; null: the demo
    splits: int = 1
    seed: int = 0
    prompts: PromptConfig = field(default_factory=PromptConfig)  # of a CLIP of open_clip, which has none
    training: AdaptSettings = field(default_factory=AdaptSettings)

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        _positive(self, "splits")
        _seed(self.seed)


@dataclass(frozen=True)
class PretrainConfig:
    """A configuration file for pre-training."""

    stage: ClassVar[str] = "pretrain"

    model: str = "grmp_iqa-tiny"
    # CLIP's weights, for a model without its own: a tag of open_clip, or a file; null: OpenAI's
    backbone_weights: str | None = None
    data: tuple[str, ...] = ("kadid10k", "tid2013")
    seed: int = 0
    prompts: PromptConfig = field(default_factory=PromptConfig)  # instead of the model's
    training: PretrainSettings = field(default_factory=PretrainSettings)

    def __post_init__(self) -> None:
        """Reject values that cannot work."""
        if not self.data:
            raise ConfigError("must not be empty", argument="data")
        _seed(self.seed)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value in known:
        return
    renamed = " (now called 'released')" if value == _FORMER_NAME and "released" in known else ""
    raise ConfigError(f"must be {' or '.join(known)}, not {shown(value)}{renamed}", argument=name)


def _positive(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not value > 0:  # nor NaN
            raise ConfigError(f"must be positive, not {shown(value)}", argument=name)
        _not_too_large(name, value)


def _not_negative(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not value >= 0:  # nor NaN
            raise ConfigError(f"must be 0 or larger, not {shown(value)}", argument=name)
        _not_too_large(name, value)


def _not_too_large(name: str, value: float) -> None:
    if value > _LARGEST:
        raise ConfigError(f"must be at most {_LARGEST}, not {shown(value)}", argument=name)


def _seed(value: int) -> None:
    if not 0 <= value <= _LARGEST_SEED:
        raise ConfigError(f"must be from 0 to {_LARGEST_SEED}, not {shown(value)}", argument="seed")
