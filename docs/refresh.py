"""Renew the sample outputs and pictures of these pages, which depend on the weights of the embedded models.

    python docs/refresh.py            # samples/score.txt, samples/compare.txt, images/examples.jpg
    python docs/refresh.py report     # images/report.png: needs Chromium

Run it when the weights change.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

_CELL, _GAP, _LABEL = 208, 12, 28  # pixels
_INK, _PAPER = (36, 41, 47), (255, 255, 255)


def main(wanted: str) -> None:
    """Renew what is wanted: `quick` or `report`."""
    for folder in ("samples", "images"):
        (DOCS / folder).mkdir(exist_ok=True)
    if wanted == "quick":
        scored = _grmp("score", "examples/")
        (DOCS / "samples" / "score.txt").write_text(scored, encoding="utf-8")
        compared = _grmp("compare", "examples/", "--metrics", "grmp_iqa-tiny,piqe,entropy")
        (DOCS / "samples" / "compare.txt").write_text(compared, encoding="utf-8")
        draw_examples(DOCS / "images" / "examples.jpg")
    elif wanted == "report":
        photograph_report(DOCS / "images" / "report.png")
    else:
        sys.exit(__doc__)


def _grmp(*arguments: str) -> str:
    """What a command shows: its results, then the messages that stay on the screen."""
    done = subprocess.run(
        ["grmp", *arguments],
        cwd=EXAMPLES.parent,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    sys.stderr.write(done.stderr)
    return done.stdout


def draw_examples(path: Path) -> None:
    """Four photographs above a degraded copy of each, with their scores."""
    import grmp_plugin

    scores = grmp_plugin.score(EXAMPLES)
    found = {Path(row["image"]).stem: row["score"] for row in scores.rows}
    pristine = sorted(name for name in found if not any(name.startswith(f"{other}_") for other in found))
    width = _GAP + len(pristine) * (_CELL + _GAP)
    sheet = Image.new("RGB", (width, 2 * (_CELL + _LABEL) + 3 * _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for column, name in enumerate(pristine):
        copy = next(other for other in found if other.startswith(f"{name}_"))
        kind = copy.removeprefix(f"{name}_").replace("_", " ")
        for row, (stem, label) in enumerate(((name, "photograph"), (copy, kind))):
            left, top = _GAP + column * (_CELL + _GAP), _GAP + row * (_CELL + _LABEL + _GAP)
            sheet.paste(_square(EXAMPLES / f"{stem}.jpg"), (left, top))
            draw.text((left, top + _CELL + 5), label, _INK, font)
            draw.text((left + _CELL, top + _CELL + 5), f"{found[stem]:.2f}", _INK, font, anchor="ra")
    sheet.save(path, quality=92)


def _square(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side)).resize((_CELL, _CELL), Image.Resampling.LANCZOS)


def photograph_report(path: Path) -> None:
    """The report of `grmp score` on the example photographs, as a browser shows it."""
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        sys.exit("no Chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "report.html", Path(folder) / "report.png"
        _grmp("score", "examples/", "--report", str(page))
        options = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1000,1130",
        )
        profile = f"--user-data-dir={folder}/profile"
        subprocess.run([browser, *options, profile, f"--screenshot={shot}", page.as_uri()], check=True)
        # A palette of 256 colours keeps the file small.
        with Image.open(shot) as taken:
            taken.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "quick")
