"""Errors and notes of the library in the words of the command line."""

import re

import typer
from grmp_cli import errors
from grmp_cli.app import app

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


def test_options_of_remedies_exist():
    commands = typer.main.get_command(app).commands.values()
    known = {name for command in commands for parameter in command.params for name in parameter.opts} | {
        name for command in commands for parameter in command.params for name in parameter.secondary_opts
    }
    named = {word for text in errors._REMEDIES.values() for word in re.findall(r"--[a-z-]+", text)}
    assert named | set(errors._OPTIONS.values()) <= known
