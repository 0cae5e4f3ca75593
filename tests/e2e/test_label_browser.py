"""A whole rating session in a real browser: keys, undo, a killed server, two raters, phone, dark mode."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from PIL import Image

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

GREY = "rgb(119, 119, 119)"
READY = "!$('rate').hidden && !busy && [...$('choices').children].some((button) => !button.disabled)"
COUNT = 20
LARGE = (2600, 1700)


class Server:
    """`grmp label` in a process of its own; with `random` it starts soon."""

    def __init__(self, *arguments: str, strategy: str = "random") -> None:
        self.process = subprocess.Popen(
            [
                *(Path(sys.executable).with_name("grmp"), "label", *arguments),
                *("--strategy", strategy, "--no-browser"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # A test run in the background ignores SIGINT, and child processes would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.url

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """25 photographs: one large, one turned by EXIF, one with a name that would do harm; and a broken one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(22):
        picture(seed, (300, 200)).save(folder / f"{seed}.jpg")
    picture(30, LARGE).save(folder / "large.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    picture(31, (400, 200)).save(folder / "turned.jpg", exif=turned)
    picture(32, (300, 200)).save(folder / "<img src=x onerror=alert(1)>.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    return folder


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    started = Browser(tmp_path / "chromium")
    yield started
    started.close()


def begin(browser: Browser, url: str, name: str, **options: object) -> None:
    browser.open(url, **options)
    browser.until("!$('begin').hidden")
    browser.run(f"$('name').value = {json.dumps(name)}")
    browser.press("Enter") if browser.run("document.activeElement.id") == "who" else browser.run(
        "document.querySelector('#who [type=submit]').click()"
    )
    browser.until(READY)


def vote(browser: Browser, key: str) -> None:
    """Press a key, and wait for what comes next."""
    browser.until(READY)
    done = browser.run("state.done")
    browser.press(key)
    browser.until(f"state.done === {done + 1} && (state.task === null || !busy)")


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_whole_session(browser: Browser, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "ratings.csv"
    server = Server(str(photos), "--count", str(COUNT), "--out", str(out), strategy="uncertainty")
    begin(browser, server.url, "Ada")
    assert browser.run("$('place').textContent") == "Practice: picture 1, does not count"
    assert browser.run("$('undo').disabled")
    asked = [
        address for address in browser.requests if not address.startswith(("data:", "blob:", server.url))
    ]
    assert asked == []

    for key in "12345":
        vote(browser, key)
    assert browser.run("$('place').textContent") == f"Picture 6 of {5 + COUNT + COUNT // 10}"
    vote(browser, "2")
    vote(browser, "4")
    browser.press("u")
    browser.until("state.done === 6 && !busy")
    vote(browser, "5")
    vote(browser, "s")

    # Killed in the middle: the page waits, and goes on by itself when the server is back.
    server.stop(signal.SIGKILL)
    browser.press("3")
    browser.until("!$('lost').hidden")
    server = Server("--out", str(out))
    browser.until("state.done === 9 && !busy && $('lost').hidden")
    browser.errors.clear()  # of the connections that were refused

    # Closed, and opened again.
    browser.open(server.url)
    browser.until(READY)
    assert browser.run("state.done") == 9
    while browser.run("state.task !== null"):
        vote(browser, "3")
    assert browser.run("$('done-words').textContent").startswith(f"All {5 + COUNT + COUNT // 10} are rated")
    assert browser.errors == []
    assert server.stop() == 0

    found = rows(out)
    assert [row["rating"] for row in found[:3]] == ["2", "5", "3"]
    assert len(found) == COUNT + COUNT // 10 - 1  # less one that could not be judged
    assert {row["rater"] for row in found} == {"Ada"}
    assert sum(row["repeat"] == "1" for row in found) == COUNT // 10
    assert all(0 <= float(row["seconds"]) < 60 for row in found)
    assert "broken" not in out.read_text()
    mos = rows(out.with_suffix(".mos.csv"))
    assert len({row["image"] for row in mos}) == len(mos) >= COUNT - 1
    connection = sqlite3.connect(out.with_suffix(".session.sqlite"))
    windows = connection.execute("SELECT DISTINCT width, height, pixel_ratio FROM vote").fetchall()
    connection.close()
    assert windows == [(1200, 900, 1.0)]


def test_two_raters_at_once_and_a_name_that_is_taken(browser: Browser, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "ratings.csv"
    server = Server(str(photos), "--count", str(COUNT), "--out", str(out))
    other = Browser(tmp_path / "chromium of another")
    try:
        begin(browser, server.url, "Ada")
        other.open(server.url)
        other.until("!$('begin').hidden")
        other.run("$('name').value = '<b>Bo</b>'; document.querySelector('#who [type=submit]').click()")
        other.until("!$('bad-name').hidden")
        other.run("$('name').value = ' ada '; document.querySelector('#who [type=submit]').click()")
        other.until("!$('known').hidden")
        other.run("$('name').value = 'Bo'; document.querySelector('#who [type=submit]').click()")
        other.until(READY)
        other.errors.clear()  # the answers that refused names
        while browser.run("state.task !== null"):
            vote(browser, "2")
            vote(other, "4")
        assert other.errors == browser.errors == []
    finally:
        other.close()
    assert server.stop() == 0
    found = rows(out)
    assert {(row["rater"], row["rating"]) for row in found} == {("Ada", "2"), ("Bo", "4")}
    orders = [[row["image"] for row in found if row["rater"] == rater] for rater in ("Ada", "Bo")]
    assert len(orders[0]) == len(orders[1]) == COUNT + COUNT // 10
    assert orders[0] != orders[1]
    assert {row["mos"] for row in rows(out.with_suffix(".mos.csv"))} == {"3.0"}


def listed(tmp_path: Path, photos: Path, *names: str) -> list[str]:
    (tmp_path / "chosen.txt").write_text("".join(f"{photos / name}\n" for name in names), encoding="utf-8")
    return ["--list", str(tmp_path / "chosen.txt"), "--out", str(tmp_path / "ratings.csv")]


def shown(browser: Browser) -> list[float]:
    """Natural width and height of the picture, and its size on the screen in the screen's pixels."""
    return browser.run(
        """(() => {
          const image = document.querySelector("#stage img"), box = image.getBoundingClientRect();
          const sizes = [box.width, box.height].map((side) => side * devicePixelRatio);
          return [image.naturalWidth, image.naturalHeight, ...sizes];
        })()"""
    )


def test_pixels_are_shown_as_they_are(browser: Browser, photos: Path, tmp_path: Path) -> None:
    server = Server(*listed(tmp_path, photos, "large.png", "turned.jpg"))
    begin(browser, server.url, "Ada")
    for ratio in (1, 2):
        browser.open(server.url, width=1000, height=800, ratio=ratio)
        browser.until(READY)
        if browser.run("document.querySelector('#stage img').naturalWidth") != LARGE[0]:
            vote(browser, "3")
        wide, high, width, height = shown(browser)
        assert (wide, high) == LARGE
        stage = browser.run("$('stage').clientWidth")
        assert width == pytest.approx(min(stage * ratio, wide), abs=1)
        assert width / height == pytest.approx(wide / high, rel=0.01)
        browser.press("z")
        browser.until("$('full').getAttribute('aria-pressed') === 'true'")
        assert shown(browser)[2:] == pytest.approx(LARGE, abs=1)
        # The middle first, then wherever the keys lead.
        before = browser.until("document.querySelector('.pane').scrollLeft")
        assert before == pytest.approx((LARGE[0] / ratio - stage) / 2, abs=10)
        assert browser.run("document.activeElement.className") == "pane"
        browser.press("z")
        browser.press("u") if browser.run("state.can_undo") else None
    while browser.run("state.task !== null && document.querySelector('#stage img').naturalWidth !== 200"):
        vote(browser, "3")
    # Upright by EXIF, and never enlarged.
    assert shown(browser) == pytest.approx([200, 400, 200, 400])
    assert browser.run("$('full').disabled")
    server.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pairs", [False, True])
def test_on_a_phone(browser: Browser, photos: Path, tmp_path: Path, scheme: str, pairs: bool) -> None:
    out = tmp_path / "ratings.csv"
    server = Server(str(photos), "--count", "12", "--out", str(out), *(["--pairs"] if pairs else []))
    begin(browser, server.url, "Ada", width=360, height=640, ratio=2, scheme=scheme)
    assert browser.run("[innerWidth, innerHeight, document.documentElement.scrollWidth]") == [360, 640, 360]
    beyond = """[...document.querySelectorAll("button")].filter((one) => one.offsetParent).map((one) =>
        [one.textContent, one.getBoundingClientRect()]).filter(([text, box]) => box.right > innerWidth + 0.5
        || box.bottom > innerHeight + 0.5 || box.height < 24).map(([text]) => text)"""
    assert browser.run(beyond) == []
    # No word is broken in two: as many lines as words at most.
    broken = """[...$("choices").children].filter((one) => {
        const words = document.createRange();
        words.selectNodeContents(one.lastChild);
        return new Set([...words.getClientRects()].map((box) => box.top)).size
            > one.lastChild.textContent.trim().split(" ").length;
    }).map((one) => one.textContent)"""
    assert browser.run(broken) == []
    assert browser.run("$('stage').clientHeight") > 350
    assert browser.run("getComputedStyle($('stage')).backgroundColor") == GREY
    dark = browser.run("getComputedStyle($('panel')).backgroundColor") == "rgb(21, 24, 28)"
    assert dark is (scheme == "dark")
    # By finger.
    browser.run("$('choices').firstElementChild.click()")
    browser.until("state.done === 1 && !busy")
    assert browser.run("document.querySelectorAll('#stage img').length") == (2 if pairs else 1)
    for _ in range(7):
        vote(browser, "3")
    assert server.stop() == 0
    assert len(rows(out)) == 3
    if pairs:
        assert {row["better"] for row in rows(out)} == {"right"}
    assert browser.errors == []


def test_without_a_mouse_and_with_a_screen_reader(browser: Browser, photos: Path, tmp_path: Path) -> None:
    server = Server(str(photos), "--count", "12", "--out", str(tmp_path / "r.csv"))
    begin(browser, server.url, "Ada")
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if "role" in node
    }
    assert {("group", "Quality of the picture"), ("image", "Picture to judge"), ("status", "")} <= named
    assert {("button", "1 Bad"), ("button", "5 Excellent")} <= named
    assert not any("jpg" in name or "png" in name for _, name in named)
    # With Tab and Enter: the focus stays on the button for the next picture.
    browser.run("$('choices').children[3].focus()")
    for done in (1, 2, 3):
        browser.run("document.activeElement.click()")
        browser.until(f"state.done === {done} && !busy")
        assert browser.run("document.activeElement === $('choices').children[3]")
    # Boxes take the focus, stop the clock, and no key votes behind them.
    browser.press("p")
    browser.until("$('pause-box').open")
    browser.press("5")
    began = browser.run("[elapsed(), new Promise((go) => setTimeout(() => go(elapsed()), 300))][1]")
    assert began == pytest.approx(browser.run("elapsed()"), abs=1)
    browser.run("document.querySelector('#pause-box button').click()")
    assert browser.run("state.done") == 3
    server.stop()


def test_the_next_picture_is_there_before_it_is_needed(
    browser: Browser, photos: Path, tmp_path: Path
) -> None:
    server = Server(str(photos), "--count", "12", "--out", str(tmp_path / "r.csv"))
    begin(browser, server.url, "Ada")
    for key in "123":
        following = browser.run("state.following")
        browser.until(f"pictures.has('{following}/0')")
        browser.run(f"pictures.get('{following}/0').then((image) => {{ image.title = 'early'; }})")
        address = f"picture/{following}/0"
        assert sum(address in request for request in browser.requests) == 1
        vote(browser, key)
        # What is shown is the picture that was loaded while the one before it was judged.
        browser.until(READY)
        assert browser.run("state.task") == following
        assert browser.run("document.querySelector('#stage img').title") == "early"
        assert sum(address in request for request in browser.requests) == 1
    server.stop()


def test_nothing_is_told_by_colour_alone(browser: Browser, photos: Path, tmp_path: Path) -> None:
    server = Server(str(photos), "--count", "12", "--out", str(tmp_path / "r.csv"))
    browser.call("Emulation.setEmulatedVisionDeficiency", type="achromatopsia")
    begin(browser, server.url, "Ada")
    looks = """[...document.querySelectorAll("#choices button")].map((one) => {
        const style = getComputedStyle(one);
        return [style.color, style.backgroundColor, style.borderColor].join();
    })"""
    # The choices differ by their words and keys only, and so do errors.
    assert len(set(browser.run(looks))) == 1
    words = browser.run("[...$('choices').children].map((one) => one.textContent)")
    assert words == ["1 Bad", "2 Poor", "3 Fair", "4 Good", "5 Excellent"]
    for button in ("undo", "skip", "full", "pause", "help"):
        assert browser.run(f"$('{button}').textContent.trim()")
    vote(browser, "3")
    server.stop()


def test_a_break_is_proposed_after_25_minutes(browser: Browser, photos: Path, tmp_path: Path) -> None:
    server = Server(str(photos), "--count", "12", "--out", str(tmp_path / "r.csv"))
    begin(browser, server.url, "Ada")
    for minutes, due in ((12, False), (12, False), (2, True)):
        browser.run(f"began -= {minutes} * 60000")
        vote(browser, "3")
        assert browser.run("$('break-box').open") is due
    browser.run("document.querySelector('#break-box button').click()")
    vote(browser, "3")
    assert not browser.run("$('break-box').open")
    server.stop()


def test_a_picture_that_has_gone(browser: Browser, photos: Path, tmp_path: Path) -> None:
    server = Server(*listed(tmp_path, photos, "0.jpg", "1.jpg"))
    for name in ("0.jpg", "1.jpg"):
        (photos / name).unlink()
    browser.open(server.url)
    browser.until("!$('begin').hidden")
    browser.run("$('name').value = 'Ada'; document.querySelector('#who [type=submit]').click()")
    browser.until("!$('rate').hidden && !busy")
    assert "cannot be shown: no such file" in browser.run("$('stage').textContent")
    browser.press("3")  # what is not seen is not rated
    assert browser.run("state.done") == 0
    browser.press("s")
    browser.until("state.done === 1")
    server.stop()
