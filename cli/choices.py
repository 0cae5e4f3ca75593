"""Choices and options that several commands share."""

import enum
from pathlib import Path
from typing import Annotated

import typer


class Format(str, enum.Enum):
    """What a command prints on standard output."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"


class Device(str, enum.Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


DeviceOption = Annotated[Device, typer.Option(help="auto: CUDA, else MPS, else the CPU.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="What to print.")]
# For commands with --out, which by default print nothing if they write a file.
FormatOrFileOption = Annotated[
    Format | None,
    typer.Option("--format", "-f", help="What to print. [dim]default: table, or nothing with --out[/]"),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Write to this file: .csv, .json, .jsonl or .parquet.", show_default=False
    ),
]
ScoresOutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Write to this file (.csv, .json, .jsonl or .parquet), or to this folder in parts.",
        show_default=False,
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", help="Write a page with charts and images: one .html file.", show_default=False),
]
