"""Settings of both stages, with the paper's values as defaults; read from YAML, strictly."""

from dataclasses import dataclass, field

from grmp_plugin.data.splits import SAMPLINGS
from grmp_plugin.errors import ConfigError

PROTOCOLS = ("own", "reference")
META_PROTOCOLS = ("paper", "reference")


@dataclass(frozen=True)
class AdaptSettings:
    """Few-shot adaptation with quality-aware gradient regularization.

    The learning rate falls to zero in a half cosine over the epochs. Protocol `reference` follows the
    released code instead: it looks at the test images every five epochs, keeps the best epoch, and lowers
    the learning rate when none was better for a while.
    """

    protocol: str = "own"
    shots: int = 50  # rated images to learn from
    sampling: str = "random"  # or spread: over the range of the MOS
    test_share: float | None = None  # of the images kept for testing; null: all that are not used
    epochs: int = 200  # reference: at most
    batch_size: int = 192  # images
    learning_rate: float = 1e-3  # SGD without momentum
    weight_decay: float = 1e-4
    strength: float = 5.0  # lambda of the gradient regularization; 0: none
    views: int = 16  # random crops kept of each shot, where the model looks at crops

    def __post_init__(self) -> None:
        """Reject what cannot work, quoting the value."""
        _one_of("protocol", self.protocol, PROTOCOLS)
        _one_of("sampling", self.sampling, SAMPLINGS)
        _positive(self, ("epochs", "batch_size", "learning_rate", "views"))
        if self.shots < 2:
            raise ConfigError(f"shots: at least 2 rated images, not {self.shots}")
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise ConfigError(f"test_share lies between 0 and 1, not {self.test_share}")
        if self.strength < 0 or self.weight_decay < 0:
            raise ConfigError("strength and weight_decay are not negative")


@dataclass(frozen=True)
class PretrainSettings:
    """Meta-prompt pre-training over distortion tasks.

    Protocol `paper`: each task starts from the current prompts. `reference`: as the released code, where
    the tasks chain in a model that is never reset, 24 of them to an outer step.
    """

    protocol: str = "paper"
    outer_steps: int = 200
    tasks_per_step: int = 5  # tasks whose mean makes an outer step
    inner_learning_rate: float = 1e-4  # Adam
    outer_learning_rate: float = 1.0  # beta; reference: 0.01
    support_batch: int = 75  # images
    query_batch: int = 50  # images
    support_share: float = 0.8  # of a task's images
    images_per_task: int | None = None  # at most so many of a task's images, drawn anew; null: all

    def __post_init__(self) -> None:
        """Reject what cannot work, quoting the value."""
        _one_of("protocol", self.protocol, META_PROTOCOLS)
        positive = ("outer_steps", "tasks_per_step", "support_batch", "query_batch")
        _positive(self, (*positive, "inner_learning_rate", "outer_learning_rate"))
        if not 0 < self.support_share < 1:
            raise ConfigError(f"support_share lies between 0 and 1, not {self.support_share}")
        if self.images_per_task is not None and self.images_per_task < 4:
            raise ConfigError(f"images_per_task: at least 4, not {self.images_per_task}")


@dataclass(frozen=True)
class AdaptConfig:
    """A file for `grmp adapt --config`."""

    model: str = "grmp_iqa-tiny"
    data: str | None = None  # ratings file or name of a data set; null: as on the command line, or the demo
    splits: int = 1
    seed: int = 0
    training: AdaptSettings = field(default_factory=AdaptSettings)


@dataclass(frozen=True)
class PretrainConfig:
    """A file for `grmp pretrain --config`."""

    model: str = "grmp_iqa-tiny"
    data: tuple[str, ...] = ("kadid10k", "tid2013")
    seed: int = 0
    training: PretrainSettings = field(default_factory=PretrainSettings)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {' or '.join(known)}, not {value!r}")


def _positive(settings: object, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(settings, name)
        if value <= 0:
            raise ConfigError(f"{name} is positive, not {value}")
