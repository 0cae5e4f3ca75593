"""`grmp models`: which models there are, and what a checkpoint says of itself."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Format, FormatOption
from .output import json_text, print_data, print_table

app = typer.Typer(
    help="List the models, or show what a checkpoint says of itself.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def models(context: typer.Context, output_format: FormatOption = Format.table) -> None:
    """List the models that go by a name: what they stand on, and whether their files are here."""
    if context.invoked_subcommand is not None:
        return
    from grmp_plugin.network.models import DEFAULT_MODEL, MODELS

    rows: list[dict[str, Any]] = []
    for model in MODELS.values():
        path = model.path
        rows.append(
            {
                "model": model.name,
                "default": model.name == DEFAULT_MODEL,
                "backbone": model.backbone,
                "megabytes": round(path.stat().st_size / 1e6, 1) if path else None,
                "here": path is not None,
                "file": str(path) if path else None,
                "source": model.remote.url if model.remote else "inside this package",
                "licence": model.licence,
                "trained_on": model.trained_on,
            }
        )
    if output_format is Format.json:
        print_data(json_text(rows) + "\n")
        return
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("model", no_wrap=True)
    table.add_column("here", no_wrap=True)
    table.add_column("what it is")
    for row in rows:
        table.add_row(
            row["model"] + ("\n(default)" if row["default"] else ""),
            f"yes, {row['megabytes']} MB" if row["here"] else "no, fetched\nat first use",
            f"backbone {row['backbone']}\ntrained on {row['trained_on']}\nlicence {row['licence']}",
        )
    print_table(table)


@app.command()
def info(
    model: Annotated[str, typer.Argument(metavar="FILE", help="A checkpoint file, or a model's name.")],
    output_format: FormatOption = Format.table,
) -> None:
    """Show a checkpoint's configuration, history and size."""
    from grmp_plugin.config import to_dict
    from grmp_plugin.network.models import find_checkpoint, weights_digest

    checkpoint = find_checkpoint(model)
    numbers = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    facts: dict[str, Any] = {
        "file": checkpoint.source,
        "megabytes": round(Path(checkpoint.source).stat().st_size / 1e6, 1),
        "sha256": weights_digest(model),
        "tensors": len(checkpoint.tensors),
        "parameters": numbers,
        "info": dict(checkpoint.info),
        "config": to_dict(checkpoint.config),
    }
    if output_format is Format.json:
        print_data(json_text(facts) + "\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    for name, value in _flat(facts):
        table.add_row(name, Text(str(value), overflow="fold"))
    print_table(table)


def _flat(data: dict[str, Any], prefix: str = "") -> "list[tuple[str, Any]]":
    """Nested mappings as dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in data.items():
        # open_clip's own configuration stays in one piece.
        if name == "learned_from":
            counts = ", ".join(f"{len(images)} {what}" for what, images in value.items())
            rows.append((prefix + name, f"{counts} (names and digests: --format json)"))
        elif isinstance(value, dict) and name != "architecture":
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows
