"""Files that state versions, requirements and names of tests agree with one another."""

import ast
import importlib.util
import os
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from slow_tests import LONG_TESTS, SLOW_TESTS

from grmp_plugin.version import __version__

tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(*groups: str) -> list[Requirement]:
    lines = [*PROJECT["dependencies"], *(line for group in groups for line in EXTRAS[group])]
    parsed = [Requirement(line) for line in lines]
    return [requirement for requirement in parsed if requirement.name != PROJECT["name"]]


def pins(name: str) -> dict[str, Version]:
    """Package -> version, of a constraints file."""
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    found = {
        canonicalize_name(package): Version(version) for package, version in (x.split("==") for x in lines)
    }
    assert len(found) == len(lines)
    return found


def by_name(requirement: Requirement) -> str:
    return requirement.name


@pytest.mark.parametrize("requirement", requirements(*EXTRAS), ids=by_name)
def test_constraints_satisfy_the_requirements(requirement):
    assert pins("constraints.txt")[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize(
    "requirement", requirements("test", "embedded", "heif", "jxl", "label", "raw"), ids=by_name
)
def test_oldest_constraints_are_the_lower_bounds(requirement):
    (lower,) = (Version(s.version) for s in requirement.specifier if s.operator == ">=")
    assert pins("constraints-oldest.txt")[canonicalize_name(requirement.name)] == lower


@pytest.mark.skipif(not os.environ.get("CI"), reason="continuous integration installs all of them")
@pytest.mark.parametrize("module", ["imagecodecs", "openpyxl", "pillow_heif", "pillow_jxl", "rawpy"])
def test_optional_readers_are_installed_where_tests_must_not_be_skipped(module):
    assert importlib.util.find_spec(module) is not None


def test_the_tests_install_all_optional_readers():
    (own,) = (Requirement(line) for line in EXTRAS["test"] if line.startswith(PROJECT["name"]))
    assert {"heif", "jxl", "raw"} <= own.extras
    assert {"imagecodecs", "openpyxl"} <= {requirement.name for requirement in requirements("test")}


def test_citation_states_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == __version__
    assert citation["license"] == PROJECT["license"]


def test_workflow_covers_the_declared_pythons():
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert declared
    assert all(f'"{version}"' in workflow for version in declared)
    assert PROJECT["requires-python"] == f">={declared[0]}"


@pytest.mark.parametrize("file", sorted({*SLOW_TESTS, *LONG_TESTS}))
def test_slow_tests_exist(file):
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {*SLOW_TESTS.get(file, ()), *LONG_TESTS.get(file, ())} <= defined
