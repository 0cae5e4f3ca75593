"""The reports in a real browser: Chromium, without a network."""

import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser
from PIL import Image

from grmp_plugin import recover_mos
from grmp_plugin.benchmarking.methods import METHODS
from grmp_plugin.benchmarking.rows import BenchmarkRow
from grmp_plugin.benchmarking.table import blocks_of
from grmp_plugin.evaluation.comparison import Comparison, MetricAgreement, MetricScores
from grmp_plugin.report import benchmark_report, comparison_report, scores_report
from grmp_plugin.statistics.bootstrap import Interval

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

IMAGES = 30
METRICS = ("first", "second", "third", "fourth")
SRCC = (0.61, 0.94, -0.12, math.nan)
DATA = ("livec", "<img src=x onerror=alert(1)>.jpg")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pictures, some of which have names that would do harm, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    names = [f"picture {index}.jpg" for index in range(IMAGES - 3)]
    names += [
        "<img src=x onerror=alert(1)>.jpg",
        "a-rather-long-name-without-any-space" * 4 + ".jpg",
        "gone.jpg",
    ]
    generator = np.random.default_rng(0)
    for name in names[:-1]:
        pixels = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((300, 200)).save(folder / name)
    return [str(folder / name) for name in names]


@pytest.fixture(scope="module")
def comparison_page(paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(1)
    mos = np.linspace(1, 5, IMAGES)
    metrics, agreements = [], []
    for name, srcc in zip(METRICS, SRCC, strict=True):
        scores = mos + generator.normal(0, 1 - max(0, np.nan_to_num(srcc)), IMAGES)
        metrics.append(MetricScores(name, False, False, scores, (None,) * IMAGES, 0.1))
        bounds = Interval(srcc - 0.1, srcc + 0.05)
        curve = np.stack([np.sort(scores), mos], axis=1)
        correlations, intervals = (srcc,) * 5, (bounds,) * 5
        p = math.nan if srcc == max(SRCC) else 0.01
        agreements.append(
            MetricAgreement(
                *correlations, *intervals, srcc - 0.94, bounds, p, srcc == 0.94, curve, math.nan, math.nan, ""
            )
        )
    failed = np.full(IMAGES, math.nan)
    metrics.append(MetricScores("fifth", True, False, failed, (None,) * IMAGES, math.nan, "no weights"))
    judged = np.ones(IMAGES, dtype=bool)
    comparison = Comparison(
        images=tuple(paths),
        errors=(None,) * IMAGES,
        metrics=tuple(metrics),
        judged=judged,
        mos=mos,
        mos_lower_better=False,
        agreements=(*agreements, None),
        ranks=np.corrcoef([metric.scores for metric in metrics]),
        disputed=np.arange(IMAGES),
        dispute=np.linspace(30, 1, IMAGES),
        run={"seed": 0, "weights": "0123456789abcdef" * 8},
    )
    page = tmp_path_factory.mktemp("page") / "comparison.html"
    page.write_text(comparison_report(comparison), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def scores_page(paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"image": path, "score": at / IMAGES, "error": None} for at, path in enumerate(paths)]
    rows[3] = {"image": paths[3], "score": None, "error": "truncated"}
    page = tmp_path_factory.mktemp("page") / "scores.html"
    page.write_text(scores_report({"run": {"model": "tiny"}, "images": rows}), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def ratings_page(paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    rows = [
        (path, rater, 1 + (at + shift) % 5)
        for rater, shift in (("Ada", 0), ("<b onerror=alert(1)>", 1), ("Cy", 0))
        for at, path in enumerate(paths)
    ]
    table = pd.DataFrame(rows, columns=["image", "rater", "rating"])
    return recover_mos(table).report(folder / "ratings.html")


@pytest.fixture(scope="module")
def benchmark_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve methods at three numbers of shots, with published numbers."""
    rows = []
    for data, shots, seed in itertools.product(DATA, ("25", "50", "20%"), range(6)):
        generator = np.random.default_rng([int(shots.rstrip("%")), seed])
        for number, name in enumerate((*METHODS, "metric")):
            identity = {
                **{"format": 1, "data_sha256": data, "tested_sha256": None, "model_sha256": "0"},
                **{"shots": shots, "seed": seed, "include_learned": False, "fixed": name == "metric"},
                **{"method": name, "lambda": 5.0 if name == "grmp" else None, "settings": {}},
            }
            values = 0.5 + number / 40 + generator.normal(0, 0.01, 3)
            chosen = "ridge" if name == "auto" else None
            rows.append(BenchmarkRow(identity, data, None, "tiny", 50, 300, *values, 2.0, chosen, {}))
    page = tmp_path_factory.mktemp("page") / "benchmark.html"
    page.write_text(benchmark_report(blocks_of(rows), {"date": "today"}, 3), encoding="utf-8")
    return page


@pytest.fixture(params=["comparison_page", "scores_page", "ratings_page", "benchmark_page"])
def page(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def click(browser: Browser, title: str) -> tuple[list[str], str | None]:
    """Click on a column's head; gives the names in the order in which they now stand, and `aria-sort`."""
    return tuple(
        browser.run(
            f"""(() => {{
              const heads = [...document.querySelectorAll("table.sortable thead th")];
              const head = heads.find((one) => one.textContent.trim() === {json.dumps(title)});
              head.querySelector("button").click();
              const marked = heads.filter((one) => one.hasAttribute("aria-sort"));
              if (marked.length !== 1 || marked[0] !== head) throw new Error("marked: " + marked.length);
              const names = [...document.querySelectorAll("table.sortable .name")];
              return [names.map((name) => name.textContent), head.getAttribute("aria-sort")];
            }})()"""
        )
    )


def test_asks_for_nothing_but_itself_and_has_no_errors(browser: Browser, page: Path) -> None:
    browser.open(page)
    asked = [address for address in browser.requests if not address.startswith("data:")]
    assert asked == [page.as_uri()]
    assert browser.errors == []


def test_names_do_not_become_elements(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("document.querySelectorAll('[onerror], [src=x]').length") == 0
    assert "<img src=x onerror=alert(1)>.jpg" in browser.run("document.body.textContent")


def test_pictures_are_shown(browser: Browser, comparison_page: Path, scores_page: Path) -> None:
    # In each gallery 12; the one that cannot be read is among the best.
    for page, galleries in ((comparison_page, 3), (scores_page, 2)):
        browser.open(page)
        widths = browser.run(
            "Promise.all([...document.images].map((i) => i.decode().then(() => i.naturalWidth)))"
        )
        assert widths == [256] * (12 * galleries - 1)
        assert browser.run("document.querySelectorAll('.missing').length") == 1


def test_curves_name_every_method_apart(browser: Browser, benchmark_page: Path) -> None:
    browser.open(benchmark_page)
    names = "[...document.querySelectorAll('#curves-0 .name')]"
    assert len(browser.run(f"{names}.map((one) => one.textContent)")) == len(METHODS) + 1
    tops = browser.run(f"{names}.map((one) => one.getBoundingClientRect().top)")
    assert all(second - first > 10 for first, second in itertools.pairwise(sorted(tops)))
    lowest = browser.run(f"Math.max(...{names}.map((one) => one.getBoundingClientRect().bottom))")
    assert lowest <= browser.run("document.querySelector('#curves-0').getBoundingClientRect().bottom")
    colours = browser.run(f"{names}.map((one) => getComputedStyle(one).fill)")
    assert len(set(colours)) == len(colours)
    assert browser.run(
        "[...document.querySelectorAll('.tag')].some((one) => one.textContent === 'published')"
    )


def test_metrics_are_sorted_by_number(browser: Browser, comparison_page: Path) -> None:
    browser.open(comparison_page)
    head = "[...document.querySelectorAll('thead th[aria-sort]')].map((head) => head.textContent)"
    assert browser.run(head) == ["SRCC"]
    # Undefined values stay last, and the failed metric below them.
    assert click(browser, "SRCC") == (["third", "first", "second", "fourth", "fifth"], "ascending")
    assert click(browser, "SRCC") == (["second", "first", "third", "fourth", "fifth"], "descending")
    assert click(browser, "RMSE fitted")[1] == "ascending"
    assert click(browser, "Metric") == (["first", "fourth", "second", "third", "fifth"], "ascending")


def test_images_are_sorted_by_natural_order_of_their_names(browser: Browser, scores_page: Path) -> None:
    browser.open(scores_page)
    names, order = click(browser, "Image")
    assert order == "ascending"
    numbered = [name for name in names if name.startswith("picture")]
    assert numbered[:4] == ["picture 0.jpg", "picture 1.jpg", "picture 2.jpg", "picture 4.jpg"]
    assert numbered[-1] == "picture 26.jpg"
    assert click(browser, "Score")[0][0] == "gone.jpg"


def test_does_not_scroll_sideways_on_a_phone(browser: Browser, page: Path) -> None:
    browser.open(page, width=360, height=740)
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    # Nothing is cut off either: whatever is wider lies in a box that scrolls by itself.
    beyond = """[...document.querySelectorAll("main *")].filter((one) => !one.closest(".scroll")
      && one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.outerHTML.slice(0, 200))"""
    assert browser.run(beyond) == []


@pytest.mark.parametrize(
    ("features", "dark"),
    [({}, False), ({"scheme": "dark"}, True), ({"scheme": "dark", "media": "print"}, False)],
)
def test_follows_the_colours_of_the_system_but_prints_on_white(
    browser: Browser, page: Path, features: dict[str, str], dark: bool
) -> None:
    browser.open(page, **features)
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    paper, ink = (sum(map(int, re.findall(r"\d+", colour))) for colour in browser.run(colours))
    assert (paper < ink) is dark
    assert abs(paper - ink) > 400


def test_is_whole_without_javascript(browser: Browser, comparison_page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(comparison_page)
        root = browser.call("DOM.getDocument")["root"]["nodeId"]
        rows = browser.call("DOM.querySelectorAll", nodeId=root, selector="table.sortable tbody tr")[
            "nodeIds"
        ]
        buttons = browser.call("DOM.querySelectorAll", nodeId=root, selector="button")["nodeIds"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(rows) == len(METRICS) + 1
    assert buttons == []
