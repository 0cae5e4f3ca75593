"""The benchmarks that documentation names are there and take the arguments that it gives them."""

import argparse
import re
import runpy
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "grmp_plugin" / "weights").glob("*.md")),
]


class Parsed(Exception):  # noqa: N818 - no error
    """Raised in place of running a benchmark, once its arguments are read."""


def commands(text: str) -> list[list[str]]:
    """Words of every command of a page that runs a benchmark: the script, and its arguments.

    A command is a span of code, which may go over a line's end, or a line of a block.
    """
    return [
        shlex.split(found[1].replace("\n", " "))
        for found in re.finditer(r"\bpython (tests/benchmarks/(?:[^`\n]|\n(?!\n|```))+)", text)
    ]


def shown() -> list[object]:
    return [
        pytest.param(words, id=f"{page.name}: {shlex.join(words)}")
        for page in PAGES
        for words in commands(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("words", shown())
def test_benchmark_commands_parse(words, monkeypatch):
    parse_args = argparse.ArgumentParser.parse_args

    def parse(parser):
        raise Parsed(parse_args(parser))

    script = BENCHMARKS / Path(words[0]).name
    assert words[0] == script.relative_to(ROOT).as_posix()
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr("sys.argv", [str(script), *words[1:]])
    monkeypatch.syspath_prepend(BENCHMARKS)  # as Python does for a script
    with pytest.raises(Parsed):
        runpy.run_path(str(script), run_name="__main__")


def test_all_commands_are_found():
    """Counted in another way: a command that is not recognised would not be tested."""
    named = sum(page.read_text(encoding="utf-8").count("python tests/benchmarks/") for page in PAGES)
    assert named == len(shown()) > 0
    assert commands("`python tests/benchmarks/a.py --variants\nx,y --n 2`, after") == [
        ["tests/benchmarks/a.py", "--variants", "x,y", "--n", "2"]
    ]
