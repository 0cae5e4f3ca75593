"""Rows of a benchmark as tables: a block for each setting, an entry for each method, over all splits."""

import json
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grmp_plugin.benchmarking.methods import METHODS
from grmp_plugin.benchmarking.published import Published, published_for
from grmp_plugin.benchmarking.rows import BenchmarkRow
from grmp_plugin.statistics.repeated import Standing, standings

_OF_THE_SPLIT = ("sampling", "test_share", "split_by")


@dataclass(frozen=True)
class Summary:
    """One statistic over splits; NaN where undefined.

    Attributes:
        median: Median.
        mean: Mean.
        deviation: Standard deviation (of a sample); NaN for fewer than two splits.
    """

    median: float
    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """The summary of the values that are defined."""
        known = np.array([value for value in values if not math.isnan(value)])
        if not len(known):
            return cls(math.nan, math.nan, math.nan)
        deviation = float(known.std(ddof=1)) if len(known) > 1 else math.nan
        return cls(float(np.median(known)), float(known.mean()), deviation)


@dataclass(frozen=True)
class Entry:
    """One method in a block.

    Attributes:
        method: Name of the method or metric.
        strength: Lambda; None where there is none.
        variant: Settings in which it differs from another entry of the same name, such as `epochs 4`.
        fixed: Whether it is a metric that learns nothing.
        rows: Its rows, by seed.
        srcc: Over splits, as the other two.
        plcc: Pearson's correlation.
        krcc: Kendall's correlation.
        standing: Its SRCC beside that of the best.
        seconds: Median time of a split.
    """

    method: str
    strength: float | None
    variant: str
    fixed: bool
    rows: tuple[BenchmarkRow, ...]
    srcc: Summary
    plcc: Summary
    krcc: Summary
    standing: Standing
    seconds: float

    @property
    def label(self) -> str:
        """Method, lambda and variant in words."""
        strength = "" if self.strength is None or self.method == "no-qgr" else f" lambda {self.strength:g}"
        return f"{self.method}{strength}" + (f" ({self.variant})" if self.variant else "")


@dataclass(frozen=True)
class Block:
    """All methods in one setting, the best first.

    Attributes:
        data: Data set that was learned from.
        tested: Data set that was tested on; None: the rest of the same.
        shots: Number of shots, or their share.
        model: The start.
        setting: How the splits differ from those of another block with these names; usually empty.
        group: What blocks that differ in shots alone have in common.
        entries: The methods.
        published: Published numbers for the setting.
    """

    data: str
    tested: str | None
    shots: str
    model: str
    setting: str
    group: Hashable
    entries: tuple[Entry, ...]
    published: tuple[Published, ...]

    @property
    def title(self) -> str:
        """The setting in words."""
        beside = [self.setting] if self.setting else []
        return ", ".join(
            [self.place, f"{self.shots} shots" if "%" not in self.shots else self.shots, *beside]
        )

    @property
    def place(self) -> str:
        """The data sets in words."""
        return self.data if self.tested is None else f"{self.data} to {self.tested}"


def blocks_of(rows: Iterable[BenchmarkRow]) -> tuple[Block, ...]:
    """Blocks in the order of their data sets, then of their shots."""
    grouped: dict[Hashable, list[BenchmarkRow]] = {}
    for row in rows:
        grouped.setdefault((_group(row), row.shots), []).append(row)
    all_rows = [row for group in grouped.values() for row in group]
    blocks = [_block(group, _setting(group[0], all_rows)) for group in grouped.values()]
    return tuple(sorted(blocks, key=lambda block: (block.place, block.setting, shots_order(block.shots))))


def shots_order(label: str) -> tuple[bool, float]:
    """Numbers of shots before shares, both ascending."""
    return ("%" in label, float(label.removesuffix("%")))


def _group(row: BenchmarkRow) -> Hashable:
    identity = row.identity
    names = ("data_sha256", "tested_sha256", "model_sha256", "include_learned")
    split = {name: identity["settings"].get(name) for name in _OF_THE_SPLIT}
    return (*(identity[name] for name in names), json.dumps(split, sort_keys=True))


def _setting(row: BenchmarkRow, rows: Sequence[BenchmarkRow]) -> str:
    """What a block must say of itself, so that it is not taken for another of the same names."""
    same = [other for other in rows if (other.data, other.tested) == (row.data, row.tested)]
    parts = []
    digests = {one.identity["model_sha256"] for one in same}
    if len(digests) > 1:
        names = {one.identity["model_sha256"]: one.model for one in same}
        own = row.identity["model_sha256"]
        unique = list(names.values()).count(row.model) == 1
        parts.append(row.model if unique else f"{row.model} {own[:8]}")
    if len({one.identity["data_sha256"] for one in same}) > 1:
        parts.append(f"ratings {row.identity['data_sha256'][:8]}")
    if len({one.identity["tested_sha256"] for one in same}) > 1:
        parts.append(f"test ratings {row.identity['tested_sha256'][:8]}")
    if len({one.identity["include_learned"] for one in same}) > 1:
        parts.append("learned images used" if row.identity["include_learned"] else "learned images left out")
    return ", ".join([*parts, *_differing(row, same, _OF_THE_SPLIT)])


def _differing(row: BenchmarkRow, rows: Sequence[BenchmarkRow], names: Iterable[str]) -> list[str]:
    """Those of some settings that are not the same in all rows, in words."""

    def value(one: BenchmarkRow, name: str) -> Any:
        return one.identity["settings"].get(name)

    return [
        f"{name.replace('_', ' ')} {value(row, name)}"
        for name in names
        if len({str(value(one, name)) for one in rows}) > 1
    ]


def _block(rows: Sequence[BenchmarkRow], setting: str) -> Block:
    seeds = sorted({row.seed for row in rows})
    methods: dict[tuple[str, float, str], dict[int, BenchmarkRow]] = {}
    for row in rows:
        strength = -1.0 if row.strength is None else row.strength
        key = (row.method, strength, json.dumps(row.identity["settings"], sort_keys=True))
        methods.setdefault(key, {})[row.seed] = row
    methods = dict(sorted(methods.items()))  # equals then come in the same order, whatever that of the rows
    values = [[by.get(seed) for seed in seeds] for by in methods.values()]
    ranked = standings([[math.nan if row is None else row.srcc for row in line] for line in values])
    entries = []
    for by_seed, standing in zip(methods.values(), ranked, strict=True):
        own = tuple(by_seed[seed] for seed in sorted(by_seed))
        entries.append(_entry(own, rows, standing))
    entries.sort(key=lambda one: -1e9 if math.isnan(one.srcc.median) else one.srcc.median, reverse=True)
    first = rows[0]
    return Block(
        data=first.data,
        tested=first.tested,
        shots=first.shots,
        model=first.model,
        setting=setting,
        group=_group(first),
        entries=tuple(entries),
        published=published_for(first.data, first.shots, first.tested),
    )


def _entry(own: tuple[BenchmarkRow, ...], rows: Sequence[BenchmarkRow], standing: Standing) -> Entry:
    first = own[0]
    namesakes = [row for row in rows if (row.method, row.strength) == (first.method, first.strength)]
    return Entry(
        method=first.method,
        strength=first.strength,
        variant=", ".join(_differing(first, namesakes, first.identity["settings"])),
        fixed=bool(first.identity["fixed"]),
        rows=own,
        srcc=Summary.of([row.srcc for row in own]),
        plcc=Summary.of([row.plcc for row in own]),
        krcc=Summary.of([row.krcc for row in own]),
        standing=standing,
        seconds=float(np.median([row.seconds for row in own])),
    )


def summary_of(entry: Entry) -> str:
    """What a method does; empty for a fixed metric."""
    return METHODS[entry.method].summary if entry.method in METHODS and not entry.fixed else ""
