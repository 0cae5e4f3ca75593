"""What an adaptation bought, for people: one table, and one sentence."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from .output import note, print_data, print_table

_NAMES = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC", "rmse": "RMSE"}


def over_splits(splits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`before`, `after` and `difference` of one split, or their medians over several.

    Of several, the intervals are 95% bootstrap intervals of the median over splits, and `_min` and `_max`
    stand beside.
    """
    if len(splits) == 1:
        return {when: splits[0][when] for when in ("before", "after", "difference")}
    medians: dict[str, Any] = {}
    for when in ("before", "after"):
        medians[when] = {"images": splits[0][when]["images"]}
        for name in _NAMES:
            medians[when] |= _median(name, [split[when][name] for split in splits])
    medians["difference"] = _median("srcc", [split["difference"]["srcc"] for split in splits])
    return medians


def _median(name: str, values: Sequence[float | None]) -> dict[str, Any]:
    from grmp_plugin.statistics.agreement import spread

    known = [value for value in values if value is not None]
    if not known:
        return {name: None, f"{name}_interval": [None, None], f"{name}_min": None, f"{name}_max": None}
    found = spread(known).as_dict()
    return {
        name: found["median"],
        f"{name}_interval": found["interval"],
        f"{name}_min": found["min"],
        f"{name}_max": found["max"],
    }


def print_adaptation(document: dict[str, Any]) -> None:
    """Print the table on stdout."""
    splits = document["splits"]
    first, run = splits[0], document["run"]
    tested = f"{first['before']['images']} images"
    if len(splits) > 1:
        tested += f", medians of {len(splits)} splits"
    print_data(
        f"{run['model']} adapted to {first['shots']} ratings of {run['data']}; on {tested} not learned from\n"
    )
    table = Table()
    table.add_column("", no_wrap=True)
    for title in ("before", "after", "difference"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, title in _NAMES.items():
        difference = _with_interval(document["difference"], name, signed=True) if name == "srcc" else ""
        table.add_row(
            title,
            _with_interval(document["before"], name),
            _with_interval(document["after"], name),
            difference,
        )
    print_table(table)


def say_verdict(document: dict[str, Any]) -> None:
    """Say in a sentence what the shots bought, and what is odd about it."""
    splits, difference = document["splits"], document["difference"]
    shots, seen = splits[0]["shots"], splits[0]["shots_srcc"]
    if difference["srcc"] is None:
        note("the difference of SRCC is undefined: predictions or ratings are all equal")
        return
    low, high = difference["srcc_interval"]
    change = f"{shots} ratings changed SRCC by {difference['srcc']:+.3f}"
    if low is None:
        few = "images" if len(splits) == 1 else "splits"
        note(f"{change}; there are too few {few} for an interval")
    else:
        told = "not to be told from none"
        if low > 0:
            told = "a real gain"
        elif high < 0:
            told = "a real loss; keep the model as it was"
        note(f"{change} (95% interval {low:+.3f} to {high:+.3f}): {told}")
        if len(splits) == 1:
            note("the interval is about the test images; --splits 10 shows how much hangs on which shots")
    if seen["before"] is not None and seen["after"] is not None:
        details = f"on the shots themselves SRCC went from {seen['before']:.3f} to {seen['after']:.3f}"
        if splits[0]["angle"] is not None:
            details += (
                f"; gradients at {splits[0]['angle']:.1f}° on average, "
                f"{splits[0]['projected']:.0%} of the tensors projected"
            )
        note(f"{details}; parameters moved by {splits[0]['moved']:.2%}")
    _say_what_is_odd(document)


def _say_what_is_odd(document: dict[str, Any]) -> None:
    splits = document["splits"]
    before = document["before"]["srcc"]
    if before is not None and before < -0.3:
        note("before adaptation the scores ran against the ratings. Is a low one good? Say --lower-better")
    if splits[0]["best_epoch"] is not None:
        epochs = ", ".join(str(split["best_epoch"]) for split in splits)
        note(f"best epoch on the test images: {epochs} (0: the start, which no epoch surpassed)")
    skipped, ignored = (
        sum(split[key] for split in splits) for key in ("skipped_steps", "not_finite_gradients")
    )
    if skipped:
        note(
            f"{skipped} steps were left out, as their gradients were not finite: take a smaller learning rate"
        )
    if ignored:
        note(f"{ignored} semantic gradients were not finite; the quality gradients beside them were kept")
    scale = splits[0]["mos_scale"]
    declare = "" if scale["source"] == "declared" else "; --mos-range LOW HIGH declares another"
    note(f"MOS scale {scale['low']:.4g} to {scale['high']:.4g} ({scale['source']}){declare}")
    low, high = scale["low"], scale["high"]
    far = [
        row
        for split in splits
        for row in split["tested"]
        if not 2 * low - high <= row["mos"] <= 2 * high - low
    ]
    if far:
        note(
            f"{len(far)} test ratings lie far outside of it, such as {far[0]['mos']:g} of {far[0]['image']}: "
            "a slip of the pen? With --mos-range LOW HIGH such rows are refused"
        )


def _with_interval(numbers: dict[str, Any], name: str, *, signed: bool = False) -> str:
    if numbers[name] is None:
        return "undefined"
    sign = "+" if signed else ""
    text = f"{numbers[name]:{sign}.3f}"
    low, high = numbers[f"{name}_interval"]
    # Three of these fit into 80 columns.
    return text if low is None else f"{text} [{low:{sign}.3f}, {high:{sign}.3f}]"
