"""The pages are complete: the references name everything, links lead somewhere, README stays short."""

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
import typer
from grmp_cli.app import app

import grmp_plugin
from grmp_plugin.training import settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch):
    """A function that imports one of our Sphinx extensions."""
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def _commands(command, path):
    yield path, command
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from _commands(subcommand, f"{path} {name}")


def test_the_reference_of_the_command_is_generated_and_complete(extension) -> None:
    page = (DOCS / "reference" / "command.md").read_text(encoding="utf-8")
    assert "```{command-reference} grmp_cli.app:app\n```" in page
    text = extension("command_reference").command_markdown(app)
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    for path, command in _commands(typer.main.get_command(app), "grmp"):
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                for option in (*parameter.opts, *parameter.secondary_opts):
                    assert re.search(rf"{{option}} .*{re.escape(option)}\b", sections[path]), (path, option)
                if parameter.help:
                    # The default is a sentence of its own there, and markup is written in another way.
                    plain = re.split(r"\[dim\]default", parameter.help)[0].split("[")[0].split()
                    assert " ".join(plain) in " ".join(re.sub(r"[`\\]", "", sections[path]).split()), (
                        parameter.name
                    )


def test_help_is_literal_in_the_reference(extension) -> None:
    reference = extension("command_reference")
    own = typer.Typer(rich_markup_mode="rich")

    @own.command(help="Do it.\n\nExamples: one --two · three | four")
    def only(
        paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="A <path>.")],
        pattern: Annotated[
            str, typer.Option(help="Like *this* or [bold]that[/]. [dim]default: all[/]")
        ] = "a*",
        both: Annotated[bool, typer.Option("--yes/--no")] = True,
    ) -> None:
        pass

    text = reference.command_markdown(own)
    assert "```text\none --two\nthree | four\n```" in text
    assert "{option} PATHS...\nA \\<path\\>." in text
    assert "Like \\*this\\* or `that`. (default: all) Default: `a*`." in text
    assert "{option} --yes, --no\n" in text


@pytest.mark.parametrize("name", ["AdaptConfig", "AdaptSettings", "PretrainConfig", "PretrainSettings"])
def test_settings_are_listed_with_their_defaults(extension, name: str) -> None:
    assert f"```{{settings}} grmp_plugin.training.settings:{name}\n```" in (
        DOCS / "reference" / "settings.md"
    ).read_text(encoding="utf-8")
    cls = getattr(settings, name)
    table = extension("settings_reference").settings_markdown(cls)
    for field in dataclasses.fields(cls):
        assert f"| `{field.name}` | " in table


def test_settings_of_a_base_class_are_explained_too(extension) -> None:
    table = extension("settings_reference").settings_markdown(settings.AdaptSettings)
    assert re.search(r"\| `strength` \| `5.0` \| \S+", table)


def test_settings_are_explained_by_docstring_or_comments(extension, tmp_path, monkeypatch) -> None:
    (tmp_path / "explained.py").write_text(
        '"""A module."""\n'
        "from dataclasses import dataclass\n\n\n"
        "@dataclass\n"
        "class Explained:\n"
        '    """Settings.\n\n'
        "    Attributes:\n"
        "        first: In the docstring,\n"
        "            on two lines.\n"
        '    """\n\n'
        "    first: float = 1e-4\n"
        "    second: int = 2  # beside it\n"
        "    # above\n"
        "    third: str | None = None\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    cls = importlib.import_module("explained").Explained
    table = extension("settings_reference").settings_markdown(cls).splitlines()
    assert table[2:] == [
        "| `first` | `0.0001` | In the docstring, on two lines. |",
        "| `second` | `2` | beside it |",
        "| `third` | null | above |",
    ]


def test_everything_public_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    assert dir(grmp_plugin) == sorted(grmp_plugin.__all__)
    for name in set(grmp_plugin.__all__) - {"__version__", "GRMPError"}:
        assert re.search(rf":: grmp_plugin\.{name}(\(\))?$", page, re.MULTILINE), name
    assert ":: grmp_plugin.errors" in page


def test_links_of_the_readme_lead_to_files() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    begun = "\n".join(lines[:40])
    assert "make demo" in begun
    assert "make test" in begun


def test_pictures_are_small() -> None:
    pictures = list((DOCS / "images").iterdir())
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 200_000, picture.name


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    arguments = ("-W", "--keep-going", "-q", "-d", tmp_path / "doctrees", DOCS, tmp_path / "html")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "reference" / "command.html").exists()
