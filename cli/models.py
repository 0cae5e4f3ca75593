"""`grmp models`: the models known by name, and the facts of a checkpoint."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grmp_plugin.tables import csv_text, json_text, jsonl_text

from .choices import Format, FormatOption
from .output import print_data, print_table

if TYPE_CHECKING:
    from grmp_plugin.api.models import NamedModel

app = typer.Typer(
    help="List the models, or show the facts of a checkpoint.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def models(context: typer.Context, output_format: FormatOption = Format.table) -> None:
    """List the models known by name: backbone, training data, and whether their files are here."""
    if context.invoked_subcommand is not None:
        return
    from grmp_plugin.api.models import named_models

    known = named_models()
    if output_format is Format.table:
        _print_models(known)
    else:
        _print_data([asdict(model) for model in known], output_format)


@app.command()
def info(
    model: Annotated[str, typer.Argument(metavar="FILE", help="Checkpoint file or model name.")],
    output_format: FormatOption = Format.table,
) -> None:
    """Show a checkpoint's configuration, history and size."""
    from grmp_plugin.api.models import model_facts

    facts = asdict(model_facts(model))
    if output_format is Format.json:
        print_data(json_text(facts) + "\n")
    elif output_format is Format.table:
        _print_facts(facts)
    else:
        _print_data([{"name": name, "value": value} for name, value in _flat(facts)], output_format)


def _print_models(known: "list[NamedModel]") -> None:
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("model", no_wrap=True)
    table.add_column("here", no_wrap=True)
    table.add_column("about")
    for model in known:
        table.add_row(
            model.model + ("\n(default)" if model.default else ""),
            f"yes, {model.megabytes} MB" if model.here else "no, downloaded\nat first use",
            f"backbone {model.backbone}\ntrained on {model.trained_on}\nlicence {model.licence}",
        )
    print_table(table)


def _print_facts(facts: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    for name, value in _flat(facts):
        table.add_row(name, Text(str(value), overflow="fold"))
    print_table(table)


def _print_data(rows: list[dict[str, Any]], shown: Format) -> None:
    if shown is Format.json:
        print_data(json_text(rows) + "\n")
    elif shown is Format.jsonl:
        print_data(jsonl_text(rows))
    else:
        print_data(csv_text(rows, list(rows[0])))


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names."""
    for name, value in data.items():
        if name == "learned_from":
            counts = ", ".join(f"{len(images)} {what}" for what, images in value.items())
            yield prefix + name, f"{counts} (names and digests: --format json)"
        # open_clip's own configuration stays in one piece.
        elif isinstance(value, Mapping) and name != "architecture":
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
