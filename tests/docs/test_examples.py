"""What the documentation tells readers to type works: in README, in the pages, and in docstrings."""

import doctest
import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

import grmp_plugin
from grmp_cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Learning takes long, so that pages that learn are left to `make test-all`.
_LEARNS = re.compile(r"grmp adapt|grmp pretrain|grmp\.adapt|grmp\.pretrain")


def _helper(name: str) -> ModuleType:
    """A module beside this file; tests are not packages."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_examples = _helper("examples")
examples, grmp_calls = _examples.examples, _examples.grmp_calls


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _runnable() -> list[object]:
    pages = []
    for page in PAGES:
        blocks = [block for block in examples(page) if block.skip is None]
        learns = any(_LEARNS.search(block.code) for block in blocks)
        if blocks:
            pages.append(pytest.param(page, id=_name(page), marks=[pytest.mark.slow] if learns else []))
    return pages


@pytest.mark.parametrize("page", _runnable())
def test_examples_run(page: Path, reader: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for block in examples(page):
        if block.skip is not None:
            continue
        # Eight shots show that it works; what fifty buy is for the benchmarks.
        code = re.sub(r"(shots[ =])50\b", r"\g<1>8", block.code)
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
        ["bash", "-euo", "pipefail", "-c", code], env=environment, capture_output=True, text=True, timeout=600
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
