"""The recipe of the embedded model, read from YAML."""

from dataclasses import dataclass, field

from grmp_plugin.config import NetworkConfig
from grmp_plugin.data.distortions import DISTORTIONS
from grmp_plugin.errors import ConfigError
from grmp_plugin.training.settings import PretrainSettings


def _check_kinds(name: str, kinds: tuple[str, ...]) -> None:
    unknown = [kind for kind in kinds if kind not in DISTORTIONS]
    if unknown:
        known = ", ".join(DISTORTIONS)
        raise ConfigError(f"{name}: unknown kind of distortion '{unknown[0]}'; known: {known}")


@dataclass(frozen=True)
class CorpusSettings:
    """What is drawn and distorted."""

    pictures: int = 10080  # drawn pictures, the nine scenes in turn
    side: int = 320  # of a picture, pixels
    versions: int = 12  # of each picture, the pristine one included
    views: int = 2  # of each version: random crops, the levels of the pyramid in turn
    validation: int = 270  # the last pictures are kept out of training


@dataclass(frozen=True)
class SummarySettings:
    """The stem's MLP on the statistics of whole views, trained alone before each stage."""

    steps: int = 12000
    pictures_per_batch: int = 32
    versions_per_picture: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    noise: float = 0.1  # standard deviation, added to the standardised statistics
    # Of the first hidden layer, with quality labels: without it the summary judges drawings better than
    # photographs (SRCC 0.88 and 0.73 in a trial; with it 0.85 and 0.75).
    quality_dropout: float = 0.5


@dataclass(frozen=True)
class StageSettings:
    """The whole network, in one of its two stages."""

    steps: int = 3000
    pictures_per_batch: int = 16
    versions_per_picture: int = 4
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    warmup: int = 100  # steps
    patch_dropout: float = 0.0  # share of the patches left out of a step
    token_dropout: float = 0.0  # of what enters the first block
    save_every: int = 100  # steps


@dataclass(frozen=True)
class RunSettings:
    """What one run of the quality stage learns as quality."""

    level_share: float = 0.0  # of the distortions' levels; the rest is pseudo-MOS
    # Kinds of distortion that are not judged: versions with one come last in the choice of versions.
    unjudged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Reject kinds that there are not, before hours of work."""
        _check_kinds("unjudged", self.unjudged)


@dataclass(frozen=True)
class PromptsSettings:
    """Meta-prompts on the backbone."""

    held_out: tuple[str, ...] = ()  # kinds of distortion that no task has
    pictures: int = 90  # drawn scenes that tasks take from
    training: PretrainSettings = field(default_factory=PretrainSettings)

    def __post_init__(self) -> None:
        """Reject kinds that there are not, before hours of work."""
        _check_kinds("held_out", self.held_out)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the code and the machine."""

    version: int = 4
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    runs: tuple[RunSettings, ...] = (RunSettings(),)  # of the quality stage
    backbone_share: float = 0.2  # of the backbone in the mean of weights that is the metric
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    summary: SummarySettings = field(default_factory=SummarySettings)
    backbone: StageSettings = field(default_factory=StageSettings)
    prompts: PromptsSettings = field(default_factory=PromptsSettings)
    quality: StageSettings = field(default_factory=StageSettings)

    def __post_init__(self) -> None:
        """Reject a recipe whose metric would be the mean of nothing."""
        if not self.runs:
            raise ConfigError("runs: at least one is needed")
