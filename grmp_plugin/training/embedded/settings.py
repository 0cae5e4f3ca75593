"""The recipe of the embedded model, read from YAML."""

from dataclasses import dataclass, field

from grmp_plugin.config import NetworkConfig
from grmp_plugin.errors import ConfigError
from grmp_plugin.synthetic.distortions import DISTORTIONS
from grmp_plugin.training.settings import PretrainSettings


@dataclass(frozen=True)
class CorpusSettings:
    """Which parts of the photographs are distorted."""

    side: int = 384  # longest side of the part of a photograph that is taken, pixels
    versions: int = 8  # of each photograph, the undistorted one included
    views: int = 2  # of each version: random crops
    validation: int = 160  # photographs kept out of training, drawn at random
    # Sets whose photographs have faults of their own: undistorted, they are called neither pristine nor good.
    authentic: tuple[str, ...] = ("cameras_crop", "cameras_view", "clothing", "focusstack", "grocery")


@dataclass(frozen=True)
class BackboneSettings:
    """The image blocks and the text tower, on captions; the trunk is frozen."""

    steps: int = 1500
    pictures_per_batch: int = 16
    views_per_picture: int = 4
    classes_per_step: int = 128  # of ImageNet's 1000
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    warmup: int = 100  # steps
    token_dropout: float = 0.1  # of what enters the first block
    noise: float = 0.1  # standard deviation, added to the trunk's standardised statistics


@dataclass(frozen=True)
class PromptsSettings:
    """Meta-prompts on the backbone."""

    held_out: tuple[str, ...] = ()  # kinds of distortion that no task has
    pictures: int = 300  # photographs that tasks take from
    pictures_per_task: int = 10  # each distorted at all five levels
    training: PretrainSettings = field(default_factory=PretrainSettings)

    def __post_init__(self) -> None:
        """Reject kinds that there are not, before hours of work."""
        unknown = [kind for kind in self.held_out if kind not in DISTORTIONS]
        if unknown:
            known = ", ".join(DISTORTIONS)
            raise ConfigError(f"held_out: unknown kind of distortion '{unknown[0]}'; known: {known}")


@dataclass(frozen=True)
class MetricSettings:
    """The metric, on people's ratings and on pseudo-MOS; the trunk is frozen."""

    mos_range: tuple[float, float] = (0.0, 100.0)  # of the ratings
    crops: int = 32  # of each rated photograph
    steps: int = 1000
    rated_per_batch: int = 16  # crops, of different photographs
    pictures_per_batch: int = 10  # photographs of the corpus
    views_per_picture: int = 4
    rated_weight: float = 0.5  # of the losses on the ratings themselves
    order_weight: float = 0.3  # of the order among a photograph's versions, by pseudo-MOS
    learning_rate: float = 2e-4
    weight_decay: float = 0.05
    warmup: int = 100  # steps
    token_dropout: float = 0.1
    noise: float = 0.1  # as in `BackboneSettings`
    shortcut: float = 0.5  # strength of the linear shortcut from the trunk's statistics


@dataclass(frozen=True)
class AxisSettings:
    """The direction of distortion in the trunk's statistics, a part of the meta-prompts' score."""

    # Of the covariance of contents, in units of its mean eigenvalue: chosen by how well kinds of distortion
    # that were left out are ordered on photographs that were left out, by pseudo-MOS.
    shrinkage: float = 3.0
    strength: float = 2.0  # length of the vector that a standard deviation adds to the class token


@dataclass(frozen=True)
class PriorSettings:
    """The prior of a linear head, from the corpus."""

    rank: int = 128  # directions kept
    shrinkage: float = 1.0  # of the covariance of contents, in units of its mean eigenvalue


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the images, the code and the machine."""

    version: int = 7
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    prompts: PromptsSettings = field(default_factory=PromptsSettings)
    metric: MetricSettings = field(default_factory=MetricSettings)
    axis: AxisSettings = field(default_factory=AxisSettings)
    prior: PriorSettings = field(default_factory=PriorSettings)
