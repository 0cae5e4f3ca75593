"""What the command prints of names is what they are: no markup, no emoji, no escape sequences."""

import shutil

import pytest
from grmp_cli import output
from grmp_cli.app import app
from rich.table import Table
from typer.testing import CliRunner

NAME = "[red]:b:[bold].png"


@pytest.fixture
def printed(capsys):
    """A function that returns what was printed since the last call, without folding."""
    return capsys.readouterr


def test_messages_and_tables_print_text_as_it_is(printed):
    output.error(f"{NAME}\x1b[31m: wrong")
    output.note(NAME)
    table = Table(NAME)
    table.add_row(NAME, style="red")
    output.print_table(table)
    out, err = printed()
    assert err == f"error: {NAME}\\x1b[31m: wrong\n{NAME}\n"
    assert out.count(NAME) == 2


def test_a_link_to_a_name_with_escape_sequences(tmp_path):
    (tmp_path / NAME).symlink_to("nothing\x1b[31m")
    shown = CliRunner().invoke(app, ["score", str(tmp_path / NAME)], env={"COLUMNS": "400"})
    assert shown.exit_code == 3
    assert NAME in shown.stdout
    assert "dangling link: nothing\\x1b[31m does not exist" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_a_model_with_escape_sequences_in_its_name(tmp_path, small_checkpoint, capsys):
    from grmp_plugin.network.checkpoint import write_checkpoint

    write_checkpoint(small_checkpoint(), tmp_path / "x.safetensors")
    name = shutil.copy(tmp_path / "x.safetensors", tmp_path / "\x1b[31m.safetensors")
    shown = CliRunner().invoke(app, ["score", str(tmp_path / "none.png"), "--model", str(name)])
    assert "\x1b" not in shown.output
    assert "\\x1b[31m.safetensors" in shown.stdout
