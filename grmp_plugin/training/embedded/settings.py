"""The recipe of the embedded model, read from YAML."""

from dataclasses import dataclass, field

from grmp_plugin.config import NetworkConfig


@dataclass(frozen=True)
class CorpusSettings:
    """What is drawn and distorted."""

    pictures: int = 3000  # drawn pictures, the nine scenes in turn
    side: int = 320  # of a picture, pixels
    versions: int = 12  # of each picture, the pristine one included
    views: int = 3  # of each version: random crops, each at a random level of the pyramid
    validation: int = 90  # the last pictures are kept out of training


@dataclass(frozen=True)
class StatisticsSettings:
    """The first stage: the stem's statistics alone."""

    steps: int = 6000
    batch: int = 256  # views
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class OptimizerSettings:
    """The second stage: the whole network."""

    steps: int = 1500
    pictures_per_batch: int = 16
    versions_per_picture: int = 4
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    warmup: int = 100  # steps
    plain_share: float = 0.3  # of the steps train the backbone without learned prompts
    save_every: int = 100  # steps


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the released weights, apart from the code and the machine."""

    version: int = 1
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
