"""The command `grmp`: its subcommands, and the one place where errors become messages and exit codes."""

import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from grmp_plugin.errors import ConfigError, GRMPError, InputError

from . import adapt, benchmark, compare, export, label, models, pretrain, pyiqa, score, shards
from .errors import message
from .signals import exit_code


class _Commands(typer.core.TyperGroup):
    """The subcommands; an interruption ends with a message and an exit code, where click gives neither."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            _fail("interrupted", exit_code(stopped))


app = typer.Typer(
    name="grmp",
    cls=_Commands,
    help="No-reference image quality with GRMP-IQA: for folders of images, for your ratings, for pyiqa.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score", help=score.HELP)(score.score)
app.command("adapt", help=adapt.HELP)(adapt.adapt)
app.command("compare", help=compare.HELP)(compare.compare)
app.command("benchmark", help=benchmark.HELP)(benchmark.benchmark)
app.command("pretrain", help=pretrain.HELP)(pretrain.pretrain)
app.command("export", help=export.HELP)(export.export)
app.command("shards", help=shards.HELP)(shards.shards)
app.add_typer(label.app, name="label")
app.add_typer(models.app, name="models")
app.command(
    "pyiqa",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)(pyiqa.pyiqa)


def _print_versions(wanted: bool) -> None:
    if wanted:
        from grmp_plugin.versions import package_versions

        for name, number in package_versions().items():
            typer.echo(f"{name} {number}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the versions of grmp-iqa, Python and the main dependencies, and exit.",
            is_eager=True,
            callback=_print_versions,
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; what the user can fix ends in a message and an exit code, not in a traceback."""
    if sys.stdout is None:  # the caller closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the whole run
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except GRMPError as problem:
        _fail(message(problem), 2 if isinstance(problem, InputError | ConfigError) else 1)
    except BrokenPipeError:  # the reader, such as `head`, has stopped reading
        _silence_stdout()
        sys.exit(1)
    except OSError as problem:
        _silence_stdout()
        _fail(str(problem), 1)


def _fail(text: str, code: int) -> NoReturn:
    from .output import error

    error(text)
    sys.exit(code)


def _silence_stdout() -> None:
    """Discard what is still buffered: Python would complain about it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
