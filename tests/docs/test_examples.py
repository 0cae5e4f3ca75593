"""What the documentation tells readers to type works: in README, in the pages, and in docstrings.

Every `python` and `sh` block of a page is an example that runs, in the order of the page and in one folder.
One that cannot has a comment above it that says why:

    <!-- skip: needs a GPU -->
"""

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from grmp_cli.app import app

import grmp_plugin

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LEARNS = re.compile(r"grmp\.(adapt|pretrain)\(")


_BLOCK = re.compile(
    r"(?:^<!-- skip: (?P<reason>[^\n]+) -->\n)?^```(?P<language>python|sh)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """One block.

    Attributes:
        line: Where its code begins in the page, from 1.
        language: `python` or `sh`.
        code: As printed.
        skip: Why it does not run; None where it does.
    """

    line: int
    language: str
    code: str
    skip: str | None


def examples(page: Path) -> list[Example]:
    """The examples of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Example(
            text.count("\n", 0, found.start("code")) + 1, found["language"], found["code"], found["reason"]
        )
        for found in _BLOCK.finditer(text)
    ]


def grmp_calls(code: str) -> list[list[str]]:
    """Arguments of every call of `grmp` in shell commands, without what follows in a pipe."""
    calls = []
    for line in code.splitlines():
        for command in re.split(r"\s\|\s", line):
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words and words[0] == "grmp":
                calls.append(words[1:])
    return calls


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _runnable() -> list[object]:
    pages = []
    for page in PAGES:
        blocks = [block for block in examples(page) if block.skip is None]
        # Each command is a process of its own, which begins with imports.
        slow = any(block.language == "sh" or _LEARNS.search(block.code) for block in blocks)
        if blocks:
            pages.append(pytest.param(page, id=_name(page), marks=[pytest.mark.slow] if slow else []))
    return pages


@pytest.mark.parametrize("page", _runnable())
def test_examples_run(page: Path, reader: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for block in examples(page):
        if block.skip is not None:
            continue
        # A few shots and epochs show that it works; what fifty shots buy is for the benchmarks.
        code = block.code.replace("--shots 50", "--config short.yml").replace(
            "shots=50", 'config="short.yml"'
        )
        if block.language == "python":
            # Line numbers of the page in tracebacks.
            exec(compile("\n" * (block.line - 1) + code, str(page), "exec"), names)
        else:
            _run_shell(code, f"{_name(page)}:{block.line}")


def _run_shell(code: str, place: str) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{place}: exit code {done.returncode}\n{code}\n{done.stderr}"


@pytest.mark.parametrize("page", [pytest.param(page, id=_name(page)) for page in PAGES])
def test_what_does_not_run_is_right_as_far_as_can_be_seen(page: Path) -> None:
    for block in examples(page):
        if block.language == "python":
            compile(block.code, f"{_name(page)}:{block.line}", "exec")
        else:
            for call in grmp_calls(block.code):
                _parse(call, f"{_name(page)}:{block.line}")


def _parse(arguments: list[str], place: str) -> None:
    """Parse a call of `grmp` down to its subcommand, without running it."""
    command, path = typer.main.get_command(app), "grmp"
    try:
        while True:
            context = command.make_context(path, list(arguments), resilient_parsing=False)
            rest = [*context._protected_args, *context.args]
            if not hasattr(command, "commands") or not rest:
                return
            name, command, arguments = command.resolve_command(context, rest)
            path = f"{path} {name}"
    except typer.Exit:  # --version
        return
    except Exception as error:
        pytest.fail(f"{place}: grmp {' '.join(arguments)}: {error}")


def test_no_example_is_skipped_without_a_reason() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        marks = len(re.findall(r"^<!-- skip", text, re.MULTILINE))
        assert marks == sum(block.skip is not None for block in examples(page)), _name(page)


def _with_doctests() -> list[str]:
    """Names of modules whose source has examples; none is imported for that."""
    found = []
    for module in pkgutil.walk_packages(grmp_plugin.__path__, "grmp_plugin."):
        path = ROOT / Path(*module.name.split("."))
        source = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
        if ">>> " in source.read_text(encoding="utf-8"):
            found.append(module.name)
    return ["grmp_plugin", *found]


@pytest.mark.parametrize("name", _with_doctests())
def test_docstrings(name: str, reader: Path) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=options)
    assert result.failed == 0
    assert result.attempted > 0
