"""`grmp label` as people start, stop and continue it, and `grmp label report`."""

import json
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RATINGS = "image,rater,rating,seconds,repeat\n" + "".join(
    f"photos/{image}.png,{rater},{min(5, max(1, 1 + image // 3 + shift))},2.5,0\n"
    for rater, shift in (("Ada", 0), ("Bo", 1), ("Cy", 0), ("Di", -1))
    for image in range(12)
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve different photographs, and one of them again."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(12):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((240, 160), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    shutil.copy(folder / "0.png", folder / "again.png")
    return folder


@contextmanager
def running(grmp, *arguments, cwd: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """`grmp label` and the address of its page."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with grmp.start("label", *arguments, "--no-browser", cwd=cwd, **pipes) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def rate(url: str, name: str, votes: int) -> None:
    origin = re.match(r"http://[^/]+", url)[0]

    def ask(path: str, data: dict, token: str = "") -> dict:
        headers = {"origin": origin, "x-rater": token}
        request = urllib.request.Request(url + path, json.dumps(data).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    token = ask("enter", {"name": name})["token"]
    state = ask("undo", {}, token)
    for vote in range(votes):
        shown = {"seconds": 2, "width": 800, "height": 600, "ratio": 1}
        state = ask("vote", shown | {"task": state["task"], "value": vote % 5 + 1}, token)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_collect_and_continue(grmp, photos, tmp_path, stop):
    with running(grmp, photos, "--count", "20", "--out", "r.csv", cwd=tmp_path) as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{24}/", url)
        rate(url, "Ada", 9)
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert (
        "only 12 pictures can be rated, 20 were wanted\n1 near-duplicate of other pictures left out\n" in err
    )
    assert "Ctrl-C stops; the same command continues" in err
    assert "r.csv: 1 rater, 4 votes" in err
    assert "grmp adapt r.csv --shots 3 --mos-range 1 5 --out mine.safetensors" in err
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 5
    assert {file.name for file in tmp_path.iterdir()} == {"r.csv", "r.mos.csv", "r.session.sqlite"}
    with running(grmp, "--out", "r.csv", cwd=tmp_path) as (process, again):
        assert again == url
        rate(again, "Bo", 6)
        process.send_signal(stop)
        err = process.communicate(timeout=30)[1]
    assert "continues the session of r.csv: " in err
    assert "r.csv: 2 raters, 5 votes" in err


def test_more_pictures_given_the_ratings_so_far(grmp, photos, tmp_path):
    arguments = (photos, "--out", "r.csv")
    with running(grmp, *arguments, "--count", "8", cwd=tmp_path) as (process, url):
        rate(url, "Ada", 13)
        process.send_signal(signal.SIGINT)
        assert "r.csv: 1 rater, 8 votes" in process.communicate(timeout=30)[1]
    more = ("--more", "3", "--strategy", "uncertainty")
    with running(grmp, *arguments, *more, cwd=tmp_path) as (process, _):
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert "continues the session of r.csv: 11 pictures, 3 of them new, 1 rater, 8 votes" in err


def test_a_session_runs_once(grmp, photographs, tmp_path):
    with running(grmp, photographs / "photos", cwd=tmp_path):
        second = grmp("label", photographs / "photos", "--no-browser", cwd=tmp_path)
    assert (second.code, second.text) == (2, "")
    assert second.err == "error: --out: ratings.csv: another process runs this session\n"


def test_a_folder_with_broken_pictures(grmp, broken_folder, tmp_path):
    folder, kinds = broken_folder
    with running(grmp, folder, "--out", "r.csv", cwd=tmp_path) as (process, url):
        assert url.startswith("http://")
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    unreadable = [name for name, kind in kinds.items() if kind not in ("good",)]
    named = sum(f"/{name}: " in err for name in unreadable)
    assert named > 5
    assert "Traceback" not in err


def test_wrong_usage(forked, photos, many, tmp_path):
    calls = []
    (tmp_path / "other.csv").write_text("image,mos\n")
    (tmp_path / "empty.txt").write_text("\n")
    for arguments, words in (
        (("label", "no such folder"), "no such folder"),
        (("label", "--out", "new.csv"), "no pictures given: name files, folders or patterns"),
        (("label", photos, "--out", "r.xlsx"), "--out: r.xlsx: ratings are a .csv file; call it r.csv"),
        (
            ("label", photos, "--out", "other.csv"),
            "other.csv exists, but not its session other.session.sqlite",
        ),
        (("label", photos, "--list", "empty.txt"), "--list: lists all pictures to rate"),
        (("label", "--list", "empty.txt", "--out", "e.csv"), "fewer than two pictures that can be rated"),
        (("label", "--list", "none.txt"), "--list: none.txt: no such file"),
        (("label", many, "--out", "m.csv"), "39 near-duplicates of other pictures left out To rate near-dup"),
        (("label", photos, "--count", "1", "--out", "c.csv"), "--count"),
        (("label", photos, "--more", "5", "--out", "n.csv"), "--more: there is no session of n.csv to add"),
        (("label", photos, "--host", "192.0.2.1", "--out", "h.csv"), "--host: cannot listen on 192.0.2.1"),
        (("label", "report", "none.csv"), "none.csv: no such file"),
        (("label", "report", "other.csv"), "other.csv: a header and no rows"),
    ):
        calls.append((arguments, words))
    results = forked.each(*(arguments for arguments, _ in calls), cwd=tmp_path)
    for (arguments, words), result in zip(calls, results, strict=True):
        assert result.code == 2, arguments
        assert words in " ".join(result.err.replace("\u2502", "").split()), (arguments, result.err)
        assert "Traceback" not in result.err


def test_help_names_both_commands(forked):
    groups = [forked("label", *more) for more in ((), ("--help",), ("collect", "-h"), ("report", "-h"))]
    for result in groups[:2]:
        assert "collect" in result.text + result.err
        assert "report" in result.text + result.err
    assert "--strategy" in groups[2].text
    assert "--report" in groups[3].text


def test_report(forked, tmp_path):
    (tmp_path / "r.csv").write_text(RATINGS)
    in_files = ("--out", "mos.parquet", "--report", "page.html")
    table, rows, everything, files = (
        forked("label", "report", "r.csv", *options, cwd=tmp_path)
        for options in ((), ("--format", "csv"), ("--format", "json"), in_files)
    )
    assert table.code == rows.code == everything.code == files.code == 0
    assert table.text.startswith("MOS: mean without raters' bias (ITU-T P.913, 12.4)")
    assert "95% interval" in table.text
    assert "Ada" in table.text
    assert len(rows.csv_rows) == 12
    assert list(rows.csv_rows[0]) == ["image", "mos", "std", "n", "low", "high"]
    assert {row["n"] for row in rows.csv_rows} == {"4"}
    assert [rater["rater"] for rater in everything.json["raters"]] == ["Ada", "Bo", "Cy", "Di"]
    assert everything.json["run"]["votes"] == 48
    assert files.text == ""
    assert "written to mos.parquet" in files.err
    assert "<h1>Ratings of 12 pictures</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_is_reported_of_one_rater(forked, tmp_path):
    lines = RATINGS.splitlines(keepends=True)
    (tmp_path / "r.csv").write_text("".join(lines[:13]))
    result = forked("label", "report", "r.csv", cwd=tmp_path)
    assert result.code == 0
    assert "One person rated" in result.err
