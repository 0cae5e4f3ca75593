"""`grmp pyiqa`: pyiqa's own command, with our metrics added."""

import sys

import typer

from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.suggest import did_you_mean


def pyiqa(context: typer.Context) -> None:
    """Run pyiqa's own command with our metrics added; all options are passed on to it.

    For example: grmp pyiqa grmp_iqa-tiny piqe -t photos/
    """
    # Importing pyiqa adds our metrics to its table.
    from pyiqa import pyiqa_cmd
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if not context.args:
        raise InputError("name a metric and an image or folder: grmp pyiqa grmp_iqa-tiny -t photos/")
    sys.argv = ["grmp pyiqa", *context.args]
    for name in _metric_names(context.args):
        if name not in DEFAULT_CONFIGS:
            hint = did_you_mean(name, DEFAULT_CONFIGS) or "List the metrics with: grmp pyiqa -ls"
            raise InputError(f"pyiqa has no metric '{name}'. {hint}")
    if _metric_names(context.args) and not any(
        a.startswith(("-t", "--t", "-h", "--h")) for a in context.args
    ):
        raise InputError("name the image or folder to score: grmp pyiqa METRIC -t photos/")
    try:
        pyiqa_cmd.main()
    except GRMPError:
        raise
    # In pyiqa the error of a single file ends the run; the user needs the reason, not the traceback.
    except Exception as problem:
        raise InputError(
            f"pyiqa stopped: {problem or type(problem).__name__}\n"
            "If a single file is the cause: grmp score gives it a row with the reason and goes on"
        ) from problem


def _metric_names(arguments: list[str]) -> list[str]:
    """The words before the first option, which pyiqa reads as metric names."""
    names: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        names.append(argument)
    return names
