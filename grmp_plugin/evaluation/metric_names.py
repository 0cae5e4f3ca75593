"""Which metrics a user's words mean: names, groups, wildcards and checkpoint files."""

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmp_plugin.errors import InputError
from grmp_plugin.network.models import DEFAULT_MODEL, MODELS

GROUPS = ("offline", "nr", "fr")
"""Words for many metrics: those that need no download, and all no-reference or full-reference ones."""

# pyiqa's architectures that fetch nothing when they are created.
_OFFLINE = frozenset(
    ("PIQE", "Entropy", "PSNR", "SSIM", "MS_SSIM", "CW_SSIM", "FSIM", "VSI", "GMSD", "VIF", "NLPD", "MAD")
)
# Of whole sets of images: they have no score for one.
_OF_SETS = frozenset(("FID", "InceptionScore"))


@dataclass(frozen=True)
class MetricSpec:
    """One metric, as it is to be created.

    Attributes:
        name: as the user wrote it, or as pyiqa calls it where a group or wildcard was written.
        own: whether it is one of this package's models, by name or checkpoint file.
        reference: whether it compares with a reference image.
        lower_better: whether a low score is a good one.
        options: what pyiqa creates it with.
    """

    name: str
    own: bool
    reference: bool = False
    lower_better: bool = False
    options: Mapping[str, Any] | None = None

    @property
    def architecture(self) -> str | None:
        """pyiqa's, None for an own model."""
        return None if self.options is None else self.options.get("type")

    @property
    def downloads(self) -> bool:
        """Whether pyiqa may fetch weights to create it."""
        return not self.own and self.architecture not in _OFFLINE


@dataclass(frozen=True)
class FoundMetrics:
    """The metrics that words mean, each once, and those of groups that were left out, with the reason."""

    metrics: tuple[MetricSpec, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def find_metrics(wanted: Sequence[str], *, references: bool) -> FoundMetrics:
    """Find metrics by name.

    Args:
        wanted: names of pyiqa's metrics or of this package's models, checkpoint files, `GROUPS`, or
            wildcards such as `*ssim*`.
        references: whether there are reference images; without, full-reference metrics are left out of
            groups and wildcards.

    Raises:
        InputError: for what is none of these, a full-reference metric that was named where there are no
            references, a metric of whole sets of images, or when nothing is left.
    """
    known = _known()
    found: dict[str, MetricSpec] = {}
    left_out: dict[str, str] = {}
    for word in wanted:
        members = _members(word, known)
        for spec in [_one(word, known)] if members is None else members:
            reason = _unusable(spec, references)
            if reason is None:
                found.setdefault(spec.name, spec)
            elif members is None:
                raise InputError(f"--metrics {word}: {reason}")
            else:
                left_out[spec.name] = reason
    if not found:
        reasons = "; ".join(sorted(set(left_out.values()))) or "no metrics were named"
        raise InputError(f"--metrics {','.join(wanted)}: nothing to compare: {reasons}")
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
    """The metrics of a group or wildcard, in alphabetical order; None for a word that is neither."""
    if word in GROUPS:
        chosen = {
            "offline": lambda m: m.name == DEFAULT_MODEL or m.architecture in _OFFLINE,
            "nr": lambda m: not m.reference,
            "fr": lambda m: m.reference,
        }[word]
        return sorted(filter(chosen, known.values()), key=lambda m: (not m.own, m.name))
    if not any(mark in word for mark in "*?[") or Path(word).exists():
        return None
    names = fnmatch.filter(sorted(known), word)
    if not names:
        raise InputError(f"--metrics '{word}': no metric's name is like that; pyiqa -ls lists pyiqa's")
    return [known[name] for name in names]


def _one(word: str, known: Mapping[str, MetricSpec]) -> MetricSpec:
    if word in known:
        return known[word]
    path = Path(word).expanduser()
    if path.is_file():
        return MetricSpec(word, own=True)
    if path.suffix in (".safetensors", ".pt", ".pth") or len(path.parts) > 1:
        raise InputError(f"--metrics {word}: there is no such checkpoint file")
    near = difflib.get_close_matches(word.lower(), [*known, *GROUPS], n=3)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise InputError(
        f"--metrics {word}: neither a metric of pyiqa nor one of this package. {hint}Names, checkpoint "
        f"files, wildcards and {', '.join(GROUPS)} are understood; pyiqa -ls lists pyiqa's names"
    )


def _unusable(spec: MetricSpec, references: bool) -> str | None:
    if spec.architecture in _OF_SETS:
        return "it compares whole sets of images, and has no score for one"
    if spec.reference and not references:
        return "it compares with a reference image: name the originals with --ref"
    return None
