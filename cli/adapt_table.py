"""What an adaptation gained, as a table for people."""

import math
from typing import TYPE_CHECKING

from rich.table import Table

from grmp_plugin.printable import counted, printable
from grmp_plugin.training.choice import best, best_without_gradients

from .output import print_data, print_table

if TYPE_CHECKING:
    from grmp_plugin.api.adaptation import Adaptation
    from grmp_plugin.api.split_result import Difference, SplitResult
    from grmp_plugin.statistics.agreement import Agreement
    from grmp_plugin.training.choice import Tried

_STATISTICS = ("srcc", "plcc", "krcc", "rmse")


def print_adaptation(adaptation: "Adaptation") -> None:
    """Print the table on stdout."""
    run, shots = adaptation.run.details, adaptation.splits[0].shots
    model, data = printable(run["model"]), printable(run["data"])
    if not adaptation.before.images:
        print_data(f"{model} adapted to all {shots} ratings of {data}; none is left to test on\n")
        _print_tried(adaptation)
        return
    tested = counted(adaptation.before.images, "image")
    learned = run["learned_before"]
    if learned["used"] and learned["images"]:
        tested += f", none a shot; before, {model} learned from {learned['images']} of all rated images"
    else:
        tested += " not learned from"
    if len(adaptation.splits) > 1:
        tested += f"; medians of {len(adaptation.splits)} splits"
    print_data(f"{model} adapted to {shots} ratings of {data}; on {tested}\n")
    table = Table()
    table.add_column("", no_wrap=True)
    for title in ("before", "after", "difference"):
        table.add_column(title, justify="right", no_wrap=True)
    for name in _STATISTICS:
        table.add_row(
            name.upper(),
            _cell(adaptation.before, name),
            _cell(adaptation.after, name),
            _cell(adaptation.difference, name, sign="+") if name == "srcc" else "",
        )
    print_table(table)
    _print_tried(adaptation)


def _print_tried(adaptation: "Adaptation") -> None:
    first = adaptation.splits[0]
    if first.tried:
        more = "" if len(adaptation.splits) == 1 else ", first split"
        print_data(
            f"\nCross-validation inside the shots{more}. start: the model as it was. KRCC: rank agreement on "
            "shots left out. gain: in KRCC over start; of gradient steps (prompts) over the better of start "
            "and ridge, ± one standard error. R²: explained share of the variance of the ratings left out; "
            "ridge replaces start if its R² is higher, and above 0\n"
        )
        print_table(_tried_table(first))
        if any(each.error is not None for each in first.tried):
            print_data(
                "\nGradient steps replace the better of start and ridge only if their gain exceeds two "
                "standard errors\n"
            )


def _tried_table(split: "SplitResult") -> Table:
    table = Table()
    for title in ("method", "learning\nrate", "epochs", "KRCC", "gain", "R²", ""):
        table.add_column(title, justify="left" if title in ("method", "") else "right", no_wrap=True)
    chosen, base = best(split.tried), best_without_gradients(split.tried)
    for each in split.tried:
        table.add_row(
            each.method,
            "" if each.learning_rate is None else f"{each.learning_rate:g}",
            "" if each.epochs is None else str(each.epochs),
            "undefined" if math.isnan(each.krcc) else f"{each.krcc:.3f}",
            _gain(each, base),
            "" if each.explained is None or math.isnan(each.explained) else f"{each.explained:.2f}",
            "chosen" if each is chosen else "",
        )
    return table


def _gain(tried: "Tried", base: "Tried") -> str:
    """Gain in KRCC over the start, or of gradient steps over what they would replace, with its error."""
    if tried.error is None:
        return "undefined" if math.isnan(tried.gain) else f"{tried.gain:+.2f}"
    over = tried.krcc - base.krcc
    return "undefined" if math.isnan(over) else f"{over:+.2f} ± {tried.error:.2f}"


def _cell(numbers: "Agreement | Difference", name: str, sign: str = "") -> str:
    value, (low, high) = getattr(numbers, name), getattr(numbers, f"{name}_interval")
    if math.isnan(value):
        return "undefined"
    text = f"{value:{sign}.3f}"
    # Three of these fit into 80 columns.
    return text if math.isnan(low) else f"{text} [{low:{sign}.3f}, {high:{sign}.3f}]"
