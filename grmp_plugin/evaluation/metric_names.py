"""Find metrics by name, group, wildcard or checkpoint file."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmp_plugin.errors import InputError
from grmp_plugin.files import existing
from grmp_plugin.network.models import DEFAULT_MODEL, MODELS
from grmp_plugin.suggest import did_you_mean

if TYPE_CHECKING:
    from grmp_plugin.network.checkpoint import Checkpoint
    from grmp_plugin.network.grmp_iqa import GRMPIQA

GROUPS = ("offline", "nr", "fr")
"""Metrics that need no download; all no-reference metrics; all full-reference metrics."""

# pyiqa's architectures that download nothing.
_OFFLINE = frozenset(
    ("PIQE", "Entropy", "PSNR", "SSIM", "MS_SSIM", "CW_SSIM", "FSIM", "VSI", "GMSD", "VIF", "NLPD", "MAD")
)
# Architectures that compare sets of images and have no score for a single one.
_OF_SETS = frozenset(("FID", "InceptionScore"))

NEEDS_REFERENCES = "full-reference metrics need reference images"
"""Reason why a metric is left out."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric before it is created.

    Attributes:
        name: As the caller wrote it, or pyiqa's name for members of a group or wildcard.
        own: Whether it is a model of this package, by name, checkpoint file or network.
        reference: Whether it compares with a reference image (full-reference).
        lower_better: Whether a low score means good quality.
        options: pyiqa's options for creating it; None for own models.
        network: Network of an own model that is in memory.
    """

    name: str
    own: bool
    reference: bool = False
    lower_better: bool = False
    options: Mapping[str, Any] | None = None
    network: "Checkpoint | GRMPIQA | None" = field(default=None, compare=False, repr=False)

    @property
    def architecture(self) -> str | None:
        """pyiqa's name of the architecture; None for own models."""
        return None if self.options is None else self.options.get("type")

    @property
    def downloads(self) -> bool:
        """Whether pyiqa may download weights to create it."""
        return not self.own and self.architecture not in _OFFLINE


@dataclass(frozen=True)
class FoundMetrics:
    """Metrics without repetitions, and (name, reason) of members of groups that cannot be used."""

    metrics: tuple[MetricSpec, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def find_metrics(wanted: Sequence[str | MetricSpec], *, references: bool) -> FoundMetrics:
    """Find metrics by name.

    Args:
        wanted: Names of pyiqa's metrics or of this package's models, checkpoint files, `GROUPS`, wildcards
            such as `*ssim*`, or metrics that were found before.
        references: Whether there are reference images; without them, groups and wildcards leave out
            full-reference metrics.

    Raises:
        InputError: For an unknown name, a full-reference metric named without references, a metric of sets
            of images, or if no metric is left.
    """
    known = _known()
    found: dict[str, MetricSpec] = {}
    left_out: dict[str, str] = {}
    for word in wanted:
        if isinstance(word, MetricSpec):
            found.setdefault(word.name, word)
            continue
        members = _members(word, known)
        for spec in [_one(word, known)] if members is None else members:
            reason = _unusable(spec, references)
            if reason is None:
                found.setdefault(spec.name, spec)
            elif members is None:
                see = ("references",) if spec.reference else ()
                raise InputError(f"{word}: {reason}", argument="metrics", see=see)
            else:
                left_out[spec.name] = reason
    if not found:
        reasons = "; ".join(sorted(set(left_out.values()))) or "no metrics were named"
        names = ",".join(word for word in wanted if isinstance(word, str))
        see = ("references",) if NEEDS_REFERENCES in left_out.values() else ()
        where = f"{names}: " if names.strip(" ,") else ""
        raise InputError(f"{where}nothing to compare: {reasons}", argument="metrics", see=see)
    return FoundMetrics(tuple(found.values()), tuple(left_out.items()))


def _known() -> dict[str, MetricSpec]:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    known = {name: MetricSpec(name, own=True) for name in MODELS}
    for name, config in DEFAULT_CONFIGS.items():
        options = dict(config["metric_opts"])
        known.setdefault(
            name,
            MetricSpec(
                name,
                own=False,
                reference=config["metric_mode"] == "FR",
                lower_better=bool(config.get("lower_better", False)),
                options=options,
            ),
        )
    return known


def _members(word: str, known: Mapping[str, MetricSpec]) -> list[MetricSpec] | None:
    """The metrics of a group or wildcard in alphabetical order; None for any other word."""
    if word in GROUPS:
        chosen = {
            "offline": lambda m: m.name == DEFAULT_MODEL or m.architecture in _OFFLINE,
            "nr": lambda m: not m.reference,
            "fr": lambda m: m.reference,
        }[word]
        return sorted(filter(chosen, known.values()), key=lambda m: (not m.own, m.name))
    if not any(mark in word for mark in "*?[") or existing(word) is not None:
        return None
    names = fnmatch.filter(sorted(known), word)
    if not names:
        raise InputError(
            f"'{word}' matches no metric's name; 'pyiqa -ls' lists pyiqa's metrics", argument="metrics"
        )
    return [known[name] for name in names]


def _one(word: str, known: Mapping[str, MetricSpec]) -> MetricSpec:
    if word in known:
        return known[word]
    found = existing(word)
    if found is not None and found.is_file():
        return MetricSpec(word, own=True)
    path = Path(word)
    if path.suffix in (".safetensors", ".pt", ".pth") or len(path.parts) > 1:
        raise InputError(f"{word}: no such checkpoint file", argument="metrics")
    sentences = (
        f"{word}: neither a metric of pyiqa nor a model of this package.",
        did_you_mean(word.lower(), [*known, *GROUPS], count=3),
        f"Use names ('pyiqa -ls' lists pyiqa's), checkpoint files, wildcards, or {', '.join(GROUPS)}.",
    )
    raise InputError(" ".join(sentence for sentence in sentences if sentence), argument="metrics")


def _unusable(spec: MetricSpec, references: bool) -> str | None:
    if spec.architecture in _OF_SETS:
        return "metrics of whole sets of images have no score for a single one"
    if spec.reference and not references:
        return NEEDS_REFERENCES
    return None
