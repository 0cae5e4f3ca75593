"""Errors and notes of the library in the words of the command line."""

import ast
import re
from pathlib import Path

import typer
from grmp_cli import errors
from grmp_cli.app import app

import grmp_plugin
from grmp_plugin.errors import InputError
from grmp_plugin.notes import Note


def test_arguments_become_options_and_remedies():
    error = InputError("no column 'x'", argument="mos_column", see=("skip_bad", "images_folder"))
    assert errors.message(error).splitlines() == [
        "--mos-column: no column 'x'",
        "Fix these, or pass --skip-bad to leave them out.",
        "Name the folder of the images with --images FOLDER.",
    ]
    assert errors.message(InputError("wrong")) == "wrong"
    assert errors.message(InputError("wrong", argument="images_folder")) == "--images: wrong"
    assert errors.message(InputError("wrong", see=("outer_steps",))).splitlines()[1] == "See --outer-steps."


def test_notes_are_one_line():
    note = Note("the ratings cover only part of the scale", see=("mos_range",))
    assert errors.note_text(note) == (
        "the ratings cover only part of the scale. Declare the scale with --mos-range LOW HIGH"
    )
    assert errors.note_text(Note("nothing to type")) == "nothing to type"


def options(command=None):
    command = command or typer.main.get_command(app)
    found = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return found.union(*map(options, getattr(command, "commands", {}).values()))


def named_by_the_library():
    """Names that errors and notes of the library spell out as `argument` and in `see`."""
    arguments, seen = set(), set()
    for file in Path(grmp_plugin.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("argument", "see"):
                found = {n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant) and n.value}
                (arguments if node.arg == "argument" else seen).update(found)
    return arguments, seen


def test_options_of_remedies_exist():
    named = {word for text in errors._REMEDIES.values() for word in re.findall(r"--[a-z-]+", text)}
    assert named | set(errors._OPTIONS.values()) <= options()


def test_everything_that_the_library_names_has_an_option_and_a_remedy():
    arguments, seen = named_by_the_library()
    assert {"mos_range", "skip_bad"} <= seen
    assert seen <= set(errors._REMEDIES)
    of_options = {argument for argument in arguments if errors.option(argument) in options()}
    # Only a configuration can set these, and the file is named instead: see `names_configuration`.
    settings = {"images_per_task", "support_share", "test_share"}
    assert arguments - of_options - errors._WITHOUT_OPTION == settings
