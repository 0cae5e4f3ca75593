"""The page of a rating session: raters, mean opinion scores, and pictures."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grmp_plugin.printable import counted
from grmp_plugin.report import charts
from grmp_plugin.report.galleries import split
from grmp_plugin.report.page import render
from grmp_plugin.report.parts import (
    GALLERY,
    Card,
    Cell,
    Column,
    Figure,
    Gallery,
    Record,
    Table,
    number_cell,
)
from grmp_plugin.report.pictures import Pictures
from grmp_plugin.report.scores_page import MAX_ROWS
from grmp_plugin.report.text import common_folder, date_text, decimals, facts, interval, number
from grmp_plugin.statistics.bootstrap import Interval

_Images = Sequence[Mapping[str, Any]]


def ratings_report(document: Mapping[str, Any], *, pairs: bool, folder: str) -> str:
    """Recovered ratings as one self-contained HTML page.

    Args:
        document: What `RecoveredMos.to_dict` returns: `run`, `images`, `raters` and `remarks`.
        pairs: Whether pictures were compared in pairs.
        folder: Folder that the images' names are relative to.

    Returns:
        HTML that is valid UTF-8 whatever the names of the files.
    """
    run, images, raters = document["run"], document["images"], document["raters"]
    mos = np.array([row["mos"] for row in images], np.float64)
    places = max(2, decimals(mos))
    return render(
        "ratings.html.j2",
        title=f"Ratings of {counted(len(images), 'picture')}",
        date=date_text(run.get("date", "")),
        answer=_answer(images, raters, mos, places, pairs),
        method=str(run.get("method", "")),
        score="Bradley-Terry score" if pairs else "MOS",
        remarks=document["remarks"],
        histogram=Figure(
            charts.histogram("histogram", "Distribution of the scores", mos, "score" if pairs else "MOS")
        ),
        raters=_raters(raters, pairs),
        galleries=_galleries(images, mos, places, folder, pairs),
        table=_table(images, places, pairs),
        left_out=max(0, len(images) - MAX_ROWS),
        records=[Record("Run", tuple(facts(run)))],
    )


def _answer(
    images: _Images, raters: Sequence[Mapping[str, Any]], mos: np.ndarray, places: int, pairs: bool
) -> str:
    votes = sum(rater["votes"] for rater in raters)
    what = "comparison" if pairs else "rating"
    people = f"{counted(len(raters), 'rater')} gave {counted(votes, what)}"
    out = sum(bool(rater["screened"]) for rater in raters)
    left = f"; those of {counted(out, 'rater')} are left out" if out else ""
    widths = [row["high"] - row["low"] for row in images if row["low"] is not None]
    sure = (
        f" The 95% intervals are {number(float(np.median(widths)), 2)} wide in the median." if widths else ""
    )
    span = f"from {number(float(mos.min()), places)} to {number(float(mos.max()), places)}"
    return f"{people}{left}. Scores go {span}.{sure}"


def _raters(raters: Sequence[Mapping[str, Any]], pairs: bool) -> Table:
    columns = (
        Column("Rater", numeric=False, first="ascending"),
        Column("Votes"),
        Column("Prefers left by" if pairs else "Bias"),
        *(() if pairs else (Column("Inconsistency"),)),
        Column("Differs on repeats by", first="ascending"),
        Column("Agrees with others" if pairs else "Correlation with others"),
        Column("Seconds a vote"),
    )
    rows = []
    for rater in raters:
        cells = [
            Cell(rater["rater"], note=rater["screened"], tag="left out" if rater["screened"] else ""),
            number_cell(rater["votes"], 0),
            _number_cell(rater["bias"], 2),
            *([] if pairs else [_number_cell(rater["inconsistency"], 2)]),
            _number_cell(rater["repeat_difference"], 2, f"{rater['repeated']} repeats"),
            _number_cell(rater["correlation"], 2),
            _number_cell(rater["seconds"], 1),
        ]
        rows.append(tuple(cells))
    return Table("Raters", columns, tuple(rows))


def _galleries(images: _Images, mos: np.ndarray, places: int, folder: str, pairs: bool) -> list[Gallery]:
    pictures, shared = Pictures(), common_folder([row["image"] for row in images])

    def cards(indices: Sequence[int]) -> tuple[Card, ...]:
        found = []
        for index in indices:
            row = images[index]
            path = os.path.join(folder, row["image"])
            facts_shown = [("Score" if pairs else "MOS", number(row["mos"], places))]
            if row["std"] is not None:
                facts_shown.append(("Deviation", number(row["std"], 2)))
            caption = row["image"].removeprefix(shared)
            found.append(Card(path, caption, pictures.of(path)[0], None, tuple(facts_shown)))
        return tuple(found)

    best, worst = split(np.argsort(-mos, kind="stable"))
    total = counted(len(images), "picture")
    found = [
        Gallery("worst", "Worst pictures", f"The {len(worst)} worst of {total}.", cards(worst)),
        Gallery("best", "Best pictures", f"The {len(best)} best of {total}.", cards(best)),
    ]
    spread = [(row["std"], index) for index, row in enumerate(images) if row["std"]]
    disputed = [index for _, index in sorted(spread, reverse=True)][:GALLERY]
    text = f"The {len(disputed)} of {total} on which the raters differ most."
    found.append(Gallery("disputed", "Most disputed pictures", text, cards(disputed)))
    return [gallery for gallery in found if gallery.cards]


def _table(images: _Images, places: int, pairs: bool) -> Table:
    columns = (
        Column("Picture", numeric=False, first="ascending"),
        Column("Score" if pairs else "MOS"),
        *(() if pairs else (Column("Deviation"),)),
        Column("Raters"),
    )
    rows, shared = [], common_folder([row["image"] for row in images])
    for row in images[:MAX_ROWS]:
        bounds = Interval(*(math.nan if row[end] is None else row[end] for end in ("low", "high")))
        rows.append(
            (
                Cell(row["image"].removeprefix(shared)),
                number_cell(row["mos"], places, interval(bounds, places)),
                *(() if pairs else (_number_cell(row["std"], 2),)),
                number_cell(row["n"], 0),
            )
        )
    return Table("Scores", columns, tuple(rows))


def _number_cell(value: float | None, places: int, note: str = "") -> Cell:
    return number_cell(math.nan if value is None else value, places, note)
