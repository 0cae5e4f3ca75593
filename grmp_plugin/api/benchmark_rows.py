"""The tables of a benchmark as flat rows and as a document, for files and data frames."""

import math
from collections.abc import Sequence
from typing import Any

from grmp_plugin.benchmarking.published import Published
from grmp_plugin.benchmarking.table import Block, Entry

_STATISTICS = ("srcc", "plcc", "krcc")
_KINDS = ("median", "mean", "std")
COLUMNS = (
    *("data", "test_on", "shots", "model", "setting", "method", "lambda", "variant", "splits"),
    *(f"{statistic}_{kind}" for statistic in _STATISTICS for kind in _KINDS),
    *("p_value", "best", "images", "seconds", "published"),
)


def entry_rows(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """One flat row per setting and method, and for each published number; None where there is no value."""
    rows = []
    for block in blocks:
        rows += [{**dict.fromkeys(COLUMNS), **_of_block(block), **_flat(entry)} for entry in block.entries]
        rows += [
            {**dict.fromkeys(COLUMNS), **_of_block(block), "model": None, **_published(one)}
            for one in block.published
        ]
    return rows


def blocks_document(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """The same with the values of every split."""
    found = []
    for block in blocks:
        results = [
            {**_of_block(block), **_flat(entry), "values": [_of_split(row) for row in entry.rows]}
            for entry in block.entries
        ]
        found += [*results, *({**_of_block(block), **_published(one)} for one in block.published)]
    return found


def _of_block(block: Block) -> dict[str, Any]:
    return {
        "data": block.data,
        "test_on": block.tested,
        "shots": block.shots,
        "model": block.model,
        "setting": block.setting or None,
    }


def _flat(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "method": entry.method,
        "lambda": entry.strength,
        "variant": entry.variant or None,
        "splits": len(entry.rows),
    }
    for statistic in _STATISTICS:
        summary = getattr(entry, statistic)
        row[f"{statistic}_median"] = _number(summary.median)
        row[f"{statistic}_mean"] = _number(summary.mean)
        row[f"{statistic}_std"] = _number(summary.deviation)
    return {
        **row,
        "p_value": _number(entry.standing.p_value),
        "best": entry.standing.best,
        "images": min(each.images for each in entry.rows),
        "seconds": entry.seconds,
    }


def _published(one: Published) -> dict[str, Any]:
    return {
        "method": one.method,
        "srcc_median": one.srcc,
        "plcc_median": one.plcc,
        "published": one.source,
    }


def _of_split(row: Any) -> dict[str, Any]:
    return {
        "seed": row.seed,
        "shots": row.learned,
        "images": row.images,
        **{name: _number(getattr(row, name)) for name in _STATISTICS},
        "seconds": row.seconds,
        "chosen": row.chosen,
        **row.record,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
