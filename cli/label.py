"""`grmp label`: let people rate pictures on a page, and recover scores from their ratings."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from grmp_plugin.tables import check_not_input, check_report_path, check_table_path

from .bars import progress_bar
from .choices import Format, FormatOrFileOption, OutOption, ReportOption
from .label_table import print_recovered
from .output import note, print_data, print_result
from .signals import termination_as_interrupt

if TYPE_CHECKING:
    from grmp_plugin.api.label import Labelling

_COLLECT = "collect"
_HELP = (
    "Let people rate your pictures in the browser: from a folder to ratings that grmp adapt learns from.\n\n"
    "grmp label photos/ is short for grmp label collect photos/.\n\n"
    "Examples: grmp label photos/ --count 50 · grmp label report ratings.csv --report report.html"
)
_COLLECT_HELP = (
    "Choose pictures, and serve a page to rate them on until Ctrl-C. The same command continues.\n\n"
    "The ratings file grows as people rate, and so does a .mos.csv file beside it. A .session.sqlite file "
    "has all votes, and is what a session continues from. The address of the page goes to standard output, "
    "everything else to standard error.\n\n"
    "Examples: grmp label photos/ --count 50 · grmp label photos/ --more 50 · grmp label --list chosen.txt"
)
_REPORT_HELP = (
    "Recover a score of each picture from the ratings, and say which raters to trust.\n\n"
    "Exit codes: 0 done, 2 wrong usage, 1 failed.\n\n"
    "Examples: grmp label report ratings.csv · grmp label report ratings.csv --report report.html"
)


class Strategy(str, enum.Enum):
    """How pictures are chosen."""

    random = "random"
    clusters = "clusters"
    maxherding = "maxherding"
    spread = "spread"
    both = "both"
    uncertainty = "uncertainty"


class _CollectByDefault(TyperGroup):
    """`grmp label photos/` means `grmp label collect photos/`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_COLLECT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_CollectByDefault,
    no_args_is_help=True,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(_COLLECT, help=_COLLECT_HELP)
def collect(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATHS...",
            help="Image files, folders, or glob patterns; not needed to continue.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File of the ratings: .csv.")] = Path(
        "ratings.csv"
    ),
    count: Annotated[int, typer.Option(min=2, help="Number of pictures to rate.")] = 50,
    strategy: Annotated[
        Strategy | None,
        typer.Option(
            help="How to choose pictures. random: without looking at others. clusters: typical ones of "
            "clusters of image features. maxherding: all pictures resemble a chosen one. spread: over the "
            "predicted quality. both: typical ones at each level of quality. uncertainty: so that ridge "
            "regression becomes most certain. [dim]default: random; uncertainty with --more[/]",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            help="Rate the pictures of this file: one path per line, relative to it.",
            show_default=False,
        ),
    ] = None,
    more: Annotated[
        int, typer.Option(min=0, help="Add this many pictures to a session, by the strategy.")
    ] = 0,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Compare pictures in pairs, instead of rating from 1 to 5.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets colleagues in who are given the address.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port. [dim]default: the last one, or any free one[/]", show_default=False
        ),
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model that chooses pictures; not used for random.")
    ] = "grmp_iqa-tiny",
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    flat: Annotated[bool, typer.Option("--flat", help="Do not search folders inside folders.")] = False,
) -> None:
    """Serve the page of a session (see `_COLLECT_HELP`)."""
    from grmp_plugin.api.label import open_labelling, show_page

    with (
        progress_bar() as bar,
        open_labelling(
            paths or None,
            out,
            count=count,
            strategy=None if strategy is None else strategy.value,
            listed=listed,
            more=more,
            pairs=pairs,
            seed=seed,
            model=model,
            recursive=not flat,
            progress=bar,
        ) as labelling,
    ):
        _say_pictures(labelling)
        with termination_as_interrupt():
            try:
                with labelling.serve(host, port) as server:
                    print_data(f"{server.url}\n")
                    note("Rate at this address. Ctrl-C stops; the same command continues")
                    if browser:
                        show_page(server.url)
                    server.wait()
            except KeyboardInterrupt:
                pass
        _say_votes(labelling)


@app.command("report", help=_REPORT_HELP)
def report_(
    ratings: Annotated[
        str, typer.Argument(metavar="RATINGS", help="File of the ratings.", show_default=False)
    ],
    output_format: FormatOrFileOption = None,
    out: OutOption = None,
    report: ReportOption = None,
) -> None:
    """Recover scores and print or write them (see `_REPORT_HELP`)."""
    for path, check, argument in ((out, check_table_path, "out"), (report, check_report_path, "report")):
        if path is not None:
            check(path, argument)
            check_not_input(path, [ratings], argument)
    from grmp_plugin.api.recover import recover_mos

    found = recover_mos(ratings)
    shown = output_format or (None if out is not None else Format.table)
    if out is not None:
        note(f"written to {found.write(out)}")
    if shown is Format.table:
        print_recovered(found)
    elif shown is not None:
        print_result(found, shown)
    for remark in found.remarks:
        note(remark)
    if report is not None:
        note(f"written to {found.report(report)}")


def _say_pictures(labelling: "Labelling") -> None:
    pictures = len(labelling.store.pictures())
    for remark in labelling.remarks:
        note(remark)
    if labelling.resumed:
        added = f", {labelling.added} of them new" if labelling.added else ""
        note(f"continues the session of {labelling.out}: {pictures} pictures{added}, {_votes(labelling)}")
    else:
        note(f"{pictures} pictures to rate")


def _say_votes(labelling: "Labelling") -> None:
    out, votes = labelling.out, labelling.store.votes()
    note(f"{out}: {_votes(labelling)}")
    if not votes:
        return
    report = f"grmp label report {out}"
    if labelling.store.pairs:
        note(f"Next: {report} --out mos.csv, and then grmp adapt mos.csv")
        return
    # A fifth of the pictures to test on.
    shots = min(50, len({vote.image for vote in votes}) * 4 // 5)
    note(f"Next: {report}, and then grmp adapt {out} --shots {shots} --mos-range 1 5 --out mine.safetensors")


def _votes(labelling: "Labelling") -> str:
    raters, votes = len(labelling.store.raters()), len(labelling.store.votes())
    return f"{raters} rater{'' if raters == 1 else 's'}, {votes} vote{'' if votes == 1 else 's'}"
