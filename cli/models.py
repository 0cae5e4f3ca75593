"""`grmp models`: the models known by name, and the facts of a checkpoint."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grmp_plugin.printable import printable, shortened
from grmp_plugin.tables import csv_text, json_text, jsonl_text

from .choices import Format, FormatOption
from .output import print_data, print_table

if TYPE_CHECKING:
    from grmp_plugin.api.models import NamedModel

# Of a table; a file may hold any number of facts.
_MOST_ROWS, _LONGEST = 500, 3000

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
        print_data(_escaped(json_text(facts)) + "\n")
    elif output_format is Format.table:
        _print_facts(facts)
    else:
        rows = [{"name": name, "value": _printable(value)} for name, value in _flat(facts)]
        _print_data(rows, output_format)


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
    rows = _flat(facts)
    for name, value in islice(rows, _MOST_ROWS):
        # Both come from a file, which may hold markup or escape sequences for the terminal.
        table.add_row(Text(name), Text(shortened(printable(_words(value)), _LONGEST), overflow="fold"))
    if (left := sum(1 for _ in rows)) > 0:
        table.add_row("...", f"{left} more (--format json)")
    print_table(table)


def _print_data(rows: list[dict[str, Any]], shown: Format) -> None:
    if shown is Format.json:
        print_data(json_text(rows) + "\n")
    elif shown is Format.jsonl:
        print_data(jsonl_text(rows))
    else:
        print_data(csv_text(rows, list(rows[0])))


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names, printable on a terminal."""
    for name, value in data.items():
        full = shortened(printable(f"{prefix}{name}"))
        if name == "learned_from" and isinstance(value, Mapping):
            counts = ", ".join(f"{_count(images)} {what}" for what, images in value.items())
            yield full, f"{counts} (names and digests: --format json)"
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield full, f"{len(value)} (--format json)"
        elif isinstance(value, float):
            yield full, f"{value:.4g}"
        else:
            yield full, value


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        # Quoted: texts such as 'low quality.' end as sentences do.
        return ", ".join(map(repr, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _printable(value: Any) -> Any:
    """A value whose texts have their control characters escaped."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(name): _printable(item) for name, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list | tuple) else value


def _count(images: Any) -> int:
    return len(images) if isinstance(images, Mapping | list) else 1


def _escaped(text: str) -> str:
    """JSON with control characters, which only its strings can hold, in JSON's own notation."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
