"""`grmp shards`: which shards of a large job are complete."""

from pathlib import Path
from typing import Annotated

import typer

from .choices import Format, FormatOption
from .output import note, print_data, print_table

HELP = (
    "Check a folder that `grmp score --out FOLDER` writes: which shards are complete.\n\n"
    "Every part is read. Exit codes: 0 all shards are complete, 1 some are not."
)

_COLUMNS = ("shard", "state", "images", "failed")


def shards(
    folder: Annotated[Path, typer.Argument(help="The folder of the scores.", show_default=False)],
    output_format: FormatOption = Format.table,
) -> None:
    """Print the state of each shard (see `HELP`)."""
    from grmp_plugin.api.saved_scores import shards as shard_states
    from grmp_plugin.tables import csv_text, json_text, jsonl_text

    states = shard_states(folder)
    rows = [{name: getattr(one, name) for name in _COLUMNS} for one in states]
    if output_format is Format.table:
        _print_table(rows)
    elif output_format is Format.csv:
        print_data(csv_text(rows, _COLUMNS))
    else:
        print_data(jsonl_text(rows) if output_format is Format.jsonl else json_text({"shards": rows}) + "\n")
    complete = sum(one.state == "complete" for one in states)
    if complete < len(states):
        note(f"shards complete: {complete} of {len(states)}; run the rest again with --resume")
        raise typer.Exit(1)


def _print_table(rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "state" else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    print_table(table)
