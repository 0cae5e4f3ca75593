"""The page of one model's scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.data.sources import ImageSource
from grmp_plugin.printable import counted
from grmp_plugin.report import charts
from grmp_plugin.report.galleries import split
from grmp_plugin.report.page import render
from grmp_plugin.report.parts import (
    Card,
    Cell,
    Column,
    Failures,
    Figure,
    Gallery,
    Record,
    Table,
    number_cell,
)
from grmp_plugin.report.pictures import Maps, Pictures
from grmp_plugin.report.text import common_folder, date_text, decimals, facts, number

MAX_ROWS = 1000
"""Most rows of the table, to keep the page small."""


def scores_report(
    document: Mapping[str, Any],
    maps: Maps | None = None,
    sources: Mapping[str, ImageSource] | None = None,
) -> str:
    """Scores of images as one self-contained HTML page.

    Args:
        document: What `Scores.to_dict` returns: `run`, and `images` with `image`, `score` (None where there
            is none) and `error` (the reason, or None).
        maps: Quality maps, as for `comparison_report`.
        sources: Images that are not files, by name.

    Returns:
        HTML that is valid UTF-8 whatever the names of the files.
    """
    run, rows = document["run"], document["images"]
    scale = run.get("scale")
    predicted_mos = isinstance(scale, Mapping)
    lower_better = isinstance(scale, Mapping) and bool(scale["lower_better"])
    scored = [row for row in rows if row["score"] is not None]
    failed = [(row["image"], row["error"] or "no score") for row in rows if row["score"] is None]
    values = np.array([row["score"] for row in scored], dtype=np.float64)
    places = max(2, decimals(values))
    folder = common_folder([row["image"] for row in rows])
    pictures = Pictures(maps, sources)
    return render(
        "scores.html.j2",
        title=f"Quality of {counted(len(rows), 'image')}",
        date=date_text(run.get("date", "")),
        model=str(run.get("model", "")),
        answer=_answer(len(rows), values, places),
        meaning=_meaning(predicted_mos, lower_better),
        folder=folder,
        not_scored=left_out_words(run.get("left_out", {})),
        histogram=_histogram(values, predicted_mos),
        galleries=_galleries(scored, -values if lower_better else values, places, folder, pictures),
        table=_table(scored, places, folder, lower_better),
        left_out=max(0, len(scored) - MAX_ROWS),
        failures=[Failures.first("Images that could not be scored", failed)] if failed else [],
        records=[Record("Run", tuple(facts(run)))] if run else [],
    )


def _answer(total: int, values: np.ndarray, places: int) -> str:
    if not len(values):
        return f"None of {counted(total, 'image')} could be scored."
    first = f"{len(values):,} of {counted(total, 'image')} could be scored." if len(values) < total else ""
    low, quarter, median, three_quarters, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()
    if len(values) == 1:
        return f"{first} The score is {number(median, places)}.".strip()
    second = (
        f"The median score is {number(median, places)}; the middle half is between "
        f"{number(quarter, places)} and {number(three_quarters, places)}, the range is "
        f"{number(low, places)} to {number(high, places)}."
    )
    return f"{first} {second}".strip()


def _meaning(predicted_mos: bool, lower_better: bool) -> str:
    if not predicted_mos:
        return "Quality from 0, bad, to 1, good."
    direction = "lower" if lower_better else "higher"
    return f"Predicted mean opinion score (MOS); {direction} is better."


def _histogram(values: np.ndarray, predicted_mos: bool) -> Figure | None:
    if not len(values):
        return None
    label = "predicted MOS" if predicted_mos else "score"
    return Figure(charts.histogram("histogram", "Distribution of the scores", values, label))


def _galleries(
    scored: list[Mapping[str, Any]], quality: np.ndarray, places: int, folder: str, pictures: Pictures
) -> list[Gallery]:
    def cards(indices: list[int]) -> tuple[Card, ...]:
        found = []
        for index in indices:
            path, score = scored[index]["image"], scored[index]["score"]
            picture, overlay = pictures.of(path)
            fact = ("Score", number(score, places))
            found.append(Card(path, path.removeprefix(folder), picture, overlay, (fact,)))
        return tuple(found)

    best, worst = split(np.argsort(-quality, kind="stable"))
    total = counted(len(scored), "image")
    found = [
        Gallery("worst", "Worst images", f"The {len(worst)} worst of {total}.", cards(worst)),
        Gallery("best", "Best images", f"The {len(best)} best of {total}.", cards(best)),
    ]
    return [gallery for gallery in found if gallery.cards]


def _table(scored: list[Mapping[str, Any]], places: int, folder: str, lower_better: bool) -> Table | None:
    if not scored:
        return None
    columns = (
        Column("Image", numeric=False, first="ascending"),
        Column("Score", first="ascending" if lower_better else "descending"),
    )
    rows = tuple(
        (Cell(row["image"].removeprefix(folder)), number_cell(row["score"], places))
        for row in scored[:MAX_ROWS]
    )
    return Table("Scores", columns, rows)
