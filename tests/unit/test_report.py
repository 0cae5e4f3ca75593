"""The HTML reports: what they say, and that nothing in them comes from or goes to elsewhere."""

import dataclasses
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.evaluation.comparison import Comparison, MetricAgreement, MetricScores
from grmp_plugin.report import comparison_report, pictures, scores_report
from grmp_plugin.report.standing import ranks_among
from grmp_plugin.report.svg import Scale, round_step
from grmp_plugin.report.text import (
    common_folder,
    decimals,
    facts,
    interval,
    listed,
    number,
    printable,
    probability,
    shortened,
)
from grmp_plugin.statistics.bootstrap import UNDEFINED, Interval
from grmp_plugin.statistics.disagreement import disputes

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """A page taken apart: its elements, its text without style and script, and its tables' rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        text.encode()  # undecodable names must not have survived
        self.feed(text)
        assert self._open == [], "elements left open"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [given for element, given in self.elements if element == name]

    def ids(self) -> list[str | None]:
        return [given["id"] for _, given in self.elements if "id" in given]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self.words.append(data)
        if self._open and self._open[-1] in ("h1", "h2"):
            self.headings.append(data)


def agreement(srcc: float, best: float = 0.9, **others: Any) -> MetricAgreement:
    bounds = Interval(srcc - 0.1, min(1.0, srcc + 0.05))
    values: dict[str, Any] = {
        **dict.fromkeys(("srcc", "krcc", "plcc", "plcc_fitted"), srcc),
        **{f"{name}_interval": bounds for name in ("srcc", "krcc", "plcc", "plcc_fitted", "rmse_fitted")},
        **{"rmse_fitted": 0.4567, "difference": srcc - best, "difference_interval": Interval(-0.2, 0.01)},
        **{"p_value": math.nan if srcc == best else 0.2, "best": srcc == best, "remark": ""},
        **{"different_similar": math.nan, "better_worse": math.nan},
        "curve": np.array([[0.0, 1.0], [1.0, 5.0]]),
    }
    return MetricAgreement(**(values | others))


def comparison(paths: list[str], srcc: tuple[float, ...] = (0.7, 0.9), **changes: Any) -> Comparison:
    """Metrics `m0`, `m1` ... with these SRCC; the last but one image cannot be read, `m0` lacks the first."""
    count = len(paths)
    quality = np.linspace(0.1, 0.9, count)
    judged = np.ones(count, dtype=bool)
    judged[[0, -2]] = False
    metrics = []
    for at in range(len(srcc)):
        scores = np.where(np.arange(count) == count - 2, math.nan, quality)
        errors: list[str | None] = [None] * count
        if at == 0:
            scores[0], errors[0] = math.nan, "not finite"
        scores = scores * -10 if at == 1 else scores
        identity = {"weights": f"digest-{at}", "options": {"crop": 224}}
        metrics.append(MetricScores(f"m{at}", at == 1, at == 1, scores, tuple(errors), 0.05, None, identity))
    values: dict[str, Any] = {
        "images": tuple(paths),
        "errors": tuple("truncated" if at == count - 2 else None for at in range(count)),
        "metrics": tuple(metrics),
        "judged": judged,
        "mos": 1 + 4 * quality,
        "mos_lower_better": False,
        "agreements": tuple(agreement(one, max(srcc)) for one in srcc),
        "ranks": np.full((len(srcc), len(srcc)), 0.5),
        "disputed": np.flatnonzero(judged)[::-1],
        "dispute": np.where(judged, 20.0, math.nan),
        "run": {"seed": 5, "date": "2026-05-17", "versions": {"torch": "2.9"}, "groups": None},
    }
    return Comparison(**(values | changes))


def with_failed(made: Comparison, reason: str = "no weights") -> Comparison:
    nothing = np.full(len(made.images), math.nan)
    failed = MetricScores("lost", False, False, nothing, (None,) * len(made.images), math.nan, reason)
    size = len(made.metrics) + 1
    ranks = np.full((size, size), math.nan)
    ranks[:-1, :-1] = made.ranks
    agreements = (*made.agreements, None) if made.agreements else ()
    return dataclasses.replace(made, metrics=(*made.metrics, failed), agreements=agreements, ranks=ranks)


def without_ratings(made: Comparison) -> Comparison:
    return dataclasses.replace(made, mos=None, agreements=())


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    found = [str(tmp_path / f"{index}.png") for index in range(8)]
    for index, path in enumerate(found):
        Image.new("RGB", (400, 300), (index * 30, 90, 200)).save(path)
    return found


@pytest.fixture
def no_paths() -> list[str]:
    return [f"nowhere/{index}.png" for index in range(30)]


def test_says_who_agrees_best_and_who_cannot_be_told_from_it(paths: list[str]) -> None:
    made = comparison(paths, (0.7, 0.9, 0.88))
    close = dataclasses.replace(made.agreements[2], best=True)
    made = dataclasses.replace(made, agreements=(*made.agreements[:2], close))
    text = Page(comparison_report(made)).text
    assert "m1 agrees best with the ratings: SRCC 0.90 [0.80, 0.95] on 6 images." in text
    assert "m2 is not significantly different. m0 agrees less." in text


@pytest.mark.parametrize(
    ("srcc", "said"),
    [
        ((-0.4, -0.2), "No metric agrees with the ratings: the highest is m1 with SRCC \N{MINUS SIGN}0.20"),
        ((0.01, 0.05), "Its interval includes 0: on these images, the agreement may be chance."),
        ((math.nan, 0.9), "SRCC is undefined for m0."),
        ((math.nan, math.nan), "No metric's agreement with the ratings could be computed on 6 images."),
        ((0.9,), "m0 agrees with the ratings: SRCC 0.90"),
    ],
)
def test_answers_without_a_clear_winner(no_paths: list[str], srcc: tuple[float, ...], said: str) -> None:
    assert said in Page(comparison_report(comparison(no_paths[:8], srcc))).text


def test_says_why_images_are_not_judged(paths: list[str]) -> None:
    made = comparison(paths)
    made = dataclasses.replace(made, judged=made.judged & (np.arange(8) != 3))
    made.mos[3] = math.nan
    text = Page(comparison_report(made)).text
    assert "8 images; the metrics are judged on 5." in text
    assert "1 could not be read, 1 have no MOS and 1 have no score by m0." in text


def test_table_is_sorted_and_keeps_failed_metrics_at_the_bottom(paths: list[str]) -> None:
    made = with_failed(comparison(paths))
    text = comparison_report(made)
    table = text[text.index("<table") : text.index("</table>")]
    names = re.findall(r'class="name">(\w+)<', table)
    assert names == ["m1", "m0", "lost"]
    assert table.count("<tbody") == 2
    assert "could not be run: no weights" in table
    assert [given["aria-sort"] for given in Page(text).all("th") if "aria-sort" in given] == ["descending"]
    # Sorted by all digits, shown rounded, with the RMSE one digit finer than the MOS.
    assert 'data-key="0.4567">0.457<small>[' in table
    assert 'data-key="0.2">0.200<' in table
    assert "full-reference, lower is better" in table
    assert ">20.0<" in table  # images a second


def test_krasula_columns_are_there_only_where_they_are_defined(no_paths: list[str]) -> None:
    made = comparison(no_paths)
    assert "AUC" not in Page(comparison_report(made)).text
    agreements = tuple(
        dataclasses.replace(one, different_similar=0.71, better_worse=0.95) for one in made.agreements
    )
    text = Page(comparison_report(dataclasses.replace(made, agreements=agreements))).text
    assert "AUC better" in text
    assert "0.710" in text


def test_charts_have_titles_and_descriptions(paths: list[str]) -> None:
    page = Page(comparison_report(comparison(paths)))
    charts = page.all("svg")
    assert len(charts) == 4  # intervals, two scatter plots, heat map
    ids = page.ids()
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert chart["role"] == "img"
        assert all(name in ids for name in (chart["aria-labelledby"] or "").split())
    assert "m1 0.900 [0.800, 0.950]; m0 0.700 [0.600, 0.750]." in page.text


def test_too_many_points_are_left_out_always_the_same_ones() -> None:
    made = comparison([f"{index}.png" for index in range(2500)])
    text = comparison_report(made)
    assert text.count('class="point"') == 2 * 2000
    assert "2,000 of 2,498 points drawn" in Page(text).text
    assert text == comparison_report(made)


def test_without_ratings_nothing_is_said_of_them(paths: list[str]) -> None:
    made = without_ratings(with_failed(comparison(paths, (0.7, 0.9, 0.8))))
    made.ranks[0, 1] = made.ranks[1, 0] = 0.93
    made.ranks[1, 2] = made.ranks[2, 1] = -0.2
    page = Page(comparison_report(made))
    assert "m0 and m1 agree most on the order of 6 images (SRCC 0.93), m1 and m2 least" in page.text
    assert "Without ratings, this does not show which metric is right." in page.text
    for word in ("RMSE", "PLCC", "bootstrap", "logistic", "MOS "):
        assert word not in page.text
    assert len(page.all("svg")) == 1  # the heat map
    assert "by m0." in page.text  # the first metric chooses the best images


def test_galleries_show_pictures_scores_and_ranks(paths: list[str]) -> None:
    page = Page(comparison_report(comparison(paths)))
    assert {"Best images", "Worst images", "Most disputed images"} <= set(page.headings)
    shown = page.all("img")
    assert len(shown) == 3 + 3 + 6
    assert all((given["src"] or "").startswith("data:image/jpeg;base64,") for given in shown)
    assert all((given["width"], given["height"]) == ("256", "192") for given in shown)
    # m1's scores fall as quality rises.
    assert (shown[0]["alt"], shown[3]["alt"]) == ("7.png", "1.png")
    assert "MOS" in page.text
    assert "Rank deviation 20" in page.text


def test_galleries_are_bounded_and_say_so(no_paths: list[str]) -> None:
    page = Page(comparison_report(comparison(no_paths)))
    assert len([given for given in page.all("figure") if given["class"] == "card"]) == 3 * 12
    assert "The 12 best of 28 judged images, by m1" in page.text


def test_an_unreadable_image_is_shown_as_its_reason(no_paths: list[str]) -> None:
    page = Page(comparison_report(comparison(no_paths[:8])))
    assert page.all("img") == []
    assert page.text.count("no picture: no such file") == 12


def test_each_image_is_read_once(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(
        pictures, "read_image", lambda path: read.append(path) or np.zeros((9, 9, 3), np.uint8)
    )
    comparison_report(comparison(paths))
    assert sorted(read) == sorted(set(read))
    assert len(read) == 6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_quality_maps_are_shown_beside_their_images(paths: list[str], mode: str) -> None:
    overlay = Image.new(mode, (800, 600))
    page = Page(comparison_report(comparison(paths), {paths[1]: overlay}))
    shown = [given for given in page.all("img") if given["alt"] == "Quality map of 1.png"]
    assert len(shown) == 2  # among the worst and among the disputed
    assert shown[0]["width"] == "256"
    assert overlay.size == (800, 600)


def test_what_went_wrong_and_what_made_it_are_listed(paths: list[str]) -> None:
    page = Page(comparison_report(with_failed(comparison(paths))))
    assert "Images that could not be read: 1" in page.text
    assert f"{paths[-2]} truncated" in page.text
    assert "Images without a score of m0: 1" in page.text
    assert f"{paths[0]} not finite" in page.text
    assert "Metrics that could not be run: 1 lost no weights" in page.text
    assert "versions.torch 2.9" in page.text
    assert "m1 weights digest-1 options.crop 224" in page.text
    assert "2026-05-17" in page.text


NASTY = "<script>alert('x')</script>&\"'\x1b[31m\n\udce9\u202e.png"


@pytest.mark.parametrize("rated", [True, False])
def test_names_and_reasons_stay_text(rated: bool) -> None:
    paths = [f"folder/{index}{NASTY}" for index in range(8)]
    made = with_failed(comparison(paths), reason=NASTY)
    metrics = [
        dataclasses.replace(
            metric, metric=NASTY, errors=(NASTY, *metric.errors[1:]), identity={NASTY: {NASTY: [NASTY]}}
        )
        for metric in made.metrics
    ]
    agreements = tuple(one and dataclasses.replace(one, remark=NASTY) for one in made.agreements)
    made = dataclasses.replace(
        made, metrics=tuple(metrics), agreements=agreements, run={NASTY: NASTY, "date": NASTY}
    )
    text = comparison_report(made if rated else without_ratings(made))
    check_is_closed(text)
    page = Page(text)
    assert len(page.all("script")) == 1
    assert "<script>alert('x')</script>" in page.text
    assert r"\x1b[31m\n\udce9\u202e.png" in page.text
    assert not set(text) & {"\x1b", "\udce9", "\u202e"}


def check_is_closed(text: str) -> None:
    """Nothing on the page is fetched from elsewhere, or runs on an event."""
    assert "http:" not in text
    assert "https:" not in text
    for _, given in Page(text).elements:
        assert not [name for name in given if name.startswith("on")]
        for name in ("src", "href"):
            assert (given.get(name) or "#").startswith(("data:", "#"))
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:;")


def undefined(made: Comparison) -> Comparison:
    """The same with nan wherever there may be one."""
    nothing = np.full(len(made.images), math.nan)
    blank = {
        field.name: UNDEFINED if field.name.endswith("_interval") else math.nan
        for field in dataclasses.fields(MetricAgreement)
    }
    blank |= {"best": False, "curve": None, "remark": "constant scores"}
    return dataclasses.replace(
        made,
        metrics=tuple(
            dataclasses.replace(metric, scores=nothing, seconds=math.nan) for metric in made.metrics
        ),
        mos=nothing,
        judged=np.zeros(len(made.images), dtype=bool),
        agreements=tuple(MetricAgreement(**blank) for _ in made.agreements),
        ranks=np.full_like(made.ranks, math.nan),
        disputed=np.zeros(0, dtype=np.int64),
        dispute=nothing,
    )


@pytest.mark.parametrize("rated", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_holds_where_nothing_is_defined(no_paths: list[str], rated: bool, count: int) -> None:
    made = with_failed(undefined(comparison(no_paths, (0.5, 0.7)[:count])))
    text = comparison_report(made if rated else without_ratings(made))
    check_is_closed(text)
    page = Page(text)
    assert ("No image has a score from every metric" if count else "No metric could be run") in page.text
    assert not re.search(r"\bnan\b", text.replace("m0", ""))


def test_undefined_agreement_on_judged_images(no_paths: list[str]) -> None:
    made = undefined(comparison(no_paths))
    whole = comparison(no_paths)
    made = dataclasses.replace(made, metrics=whole.metrics, mos=whole.mos, judged=whole.judged)
    page = Page(comparison_report(made))
    assert "no curve could be fitted" in page.text
    assert "constant scores" in page.text


def test_a_single_image(paths: list[str]) -> None:
    made = comparison(paths)
    judged = np.arange(8) == 2
    page = Page(comparison_report(dataclasses.replace(made, judged=judged, disputed=np.array([2]))))
    assert "Best images" in page.headings
    assert "Worst images" not in page.headings


def score_document(paths: list[str], **run: Any) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {"image": path, "score": (index + 1) / 10, "error": None} for index, path in enumerate(paths)
    ]
    rows[2] = {"image": paths[2], "score": None, "error": "truncated"}
    return {"run": {"model": "grmp_iqa-tiny", "scale": "quality", **run}, "images": rows}


def test_scores_page(paths: list[str]) -> None:
    page = Page(scores_report(score_document(paths, versions={"torch": "2.9"})))
    assert "Quality of 8 images" in page.headings
    assert "7 of 8 images could be scored. The median score is 0.500" in page.text
    assert "Image quality by grmp_iqa-tiny" in page.text
    assert len(page.all("svg")) == 1
    assert [given["alt"] for given in page.all("img")][:3] == ["0.png", "1.png", "3.png"]
    assert f"Images that could not be scored: 1 {paths[2]} truncated" in page.text
    assert "versions.torch 2.9" in page.text


def test_scores_page_knows_which_end_is_good(paths: list[str]) -> None:
    scale = {"low": 1.0, "high": 5.0, "lower_better": True, "source": "declared"}
    page = Page(scores_report(score_document(paths, scale=scale)))
    assert page.all("img")[0]["alt"] == "7.png"  # the worst are shown first
    assert "lower is better" in page.text


def test_long_tables_are_cut_and_say_so() -> None:
    page = Page(scores_report(score_document([f"nowhere/{index}.png" for index in range(1503)])))
    assert len([given for given in page.all("th") if given.get("scope") == "row"]) == 1000
    assert "The first 1000 images; 502 more are left out" in page.text


@pytest.mark.parametrize("name", [NASTY, "ok.png"])
def test_scores_page_is_closed(name: str) -> None:
    document = score_document([f"{index}{name}" for index in range(5)], command=name)
    document["images"][2]["error"] = name
    text = scores_report(document)
    check_is_closed(text)
    assert len(Page(text).all("script")) == 1


@pytest.mark.parametrize("images", [[], [{"image": "a.png", "score": None, "error": "gone"}]])
def test_scores_page_without_scores(images: list[dict[str, Any]]) -> None:
    page = Page(scores_report({"run": {"model": "m"}, "images": images}))
    assert "could be scored" in page.text
    assert page.all("svg") == page.all("table") == []


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5], [0.0, 0.0], [-3e-9, 2e6], [1, 100]])
def test_histogram_of_any_scores(scores: list[float]) -> None:
    rows = [{"image": f"{at}.png", "score": score, "error": None} for at, score in enumerate(scores)]
    text = scores_report({"run": {}, "images": rows})
    hints = re.findall(r"<title>[^<]*: ([\d,]+) images?</title>", text)
    assert sum(int(count.replace(",", "")) for count in hints) == len(scores)
    assert len(hints) <= 42


@pytest.mark.parametrize("values", [[0.1, 0.93], [-1, 1], [3, 3], [0, 0], [1e-7, 3e-7], [1e6, 5e6], []])
def test_ticks_are_round_and_lie_on_the_scale(values: list[float]) -> None:
    scale = Scale.around(values, 0, 100)
    ticks = scale.ticks()
    assert 3 <= len(ticks) <= 8
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(0 <= position <= 100 for position, _ in ticks)
    assert all(0 <= scale(value) <= 100 for value in values)


@pytest.mark.parametrize(("size", "step"), [(1, 1), (1.1, 2), (0.03, 0.05), (7, 10), (0.2, 0.2)])
def test_round_step(size: float, step: float) -> None:
    assert round_step(size) == pytest.approx(step)


def test_words_and_numbers() -> None:
    assert number(-0.0001, 2) == "0.00"
    assert number(-1.5, 1) == "\N{MINUS SIGN}1.5"
    assert number(None, 2) == number(math.nan, 2) == "\N{EN DASH}"
    assert interval(Interval(-0.1, 0.25), 2) == "[\N{MINUS SIGN}0.10, 0.25]"
    assert interval(UNDEFINED, 2) == ""
    assert (probability(0.0004), probability(0.0316)) == ("<0.001", "0.032")
    assert [decimals(given) for given in ([0, 1], [1, 5], [0, 100], [2, 2], [0], [])] == [3, 2, 1, 2, 3, 3]
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert listed(list("abcdefgh")) == "a, b, c, d, e and 3 more"
    assert shortened("abcdefghij", 7) == "abc…hij"
    assert printable("a\tb") == r"a\tb"
    assert facts({"a": {"b": None, "c": [1, True]}, "d": {}}) == [
        ("a.b", "\N{EN DASH}"),
        ("a.c", "1, yes"),
        ("d", "\N{EN DASH}"),
    ]


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        (["/a/b/1.png", "/a/c/2.png"], "/a/"),
        (["a/1.png"], "a/"),
        (["/a/1.png", "/b/1.png"], ""),
        (["/a/1.png", "b/1.png"], ""),
        (["1.png"], ""),
        ([], ""),
    ],
)
def test_common_folder(paths: list[str], folder: str) -> None:
    assert common_folder(paths) == folder


def test_percentile_ranks_are_those_that_disputes_are_about() -> None:
    quality, judged = np.array([5.0, 1.0, 3.0, 3.0, math.nan]), np.array([True, True, True, True, False])
    other = np.array([1.0, 2.0, 3.0, 4.0, math.nan])
    ranks = np.stack([ranks_among(quality, judged), ranks_among(other, judged)])
    assert ranks[0].tolist() == pytest.approx([87.5, 12.5, 50, 50, math.nan], nan_ok=True)
    deviation = disputes([quality[:4], other[:4]]).deviation
    assert ranks[:, :4].std(axis=0) == pytest.approx(deviation)
    assert np.isnan(ranks_among(quality, ~judged)).all()
