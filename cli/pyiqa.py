"""`grmp pyiqa`: pyiqa's own command with our metrics in it."""

import difflib
import sys

import typer

from grmp_plugin.errors import GRMPError, InputError


def pyiqa(context: typer.Context) -> None:
    """Run pyiqa's own command, which cannot see a plugin unaided; all options go to it.

    For example: grmp pyiqa grmp_iqa-tiny piqe -t photos/
    """
    # The import adds our metrics as soon as pyiqa's table is there.
    from pyiqa import pyiqa_cmd
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if not context.args:
        raise InputError("name a metric and an image or folder: grmp pyiqa grmp_iqa-tiny -t photos/")
    sys.argv = ["grmp pyiqa", *context.args]
    for name in _metric_names(context.args):
        if name not in DEFAULT_CONFIGS:
            near = difflib.get_close_matches(name, DEFAULT_CONFIGS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "grmp pyiqa -ls lists them"
            raise InputError(f"pyiqa has no metric '{name}'; {hint}")
    if _metric_names(context.args) and not any(
        a.startswith(("-t", "--t", "-h", "--h")) for a in context.args
    ):
        raise InputError("name the image or folder to score: grmp pyiqa METRIC -t photos/")
    try:
        pyiqa_cmd.main()
    except GRMPError:
        raise
    # pyiqa lets whatever one file raises end the run; its user can mend that file, not the traceback.
    except Exception as problem:
        raise InputError(
            f"pyiqa stopped: {problem or type(problem).__name__}\n"
            "If a file is at fault: it ends pyiqa's run, but grmp score gives it a row and goes on"
        ) from problem


def _metric_names(arguments: list[str]) -> list[str]:
    """The words before the first option, which pyiqa takes for metrics."""
    names: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        names.append(argument)
    return names
