"""Tables of a benchmark in LaTeX, for a paper; they need the package booktabs."""

import math
from collections.abc import Sequence

from grmp_plugin.benchmarking.table import Block, Entry, Summary

_ESCAPED = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}
_NOTHING = "--"


def latex_table(blocks: Sequence[Block]) -> str:
    """One `table` environment: medians in bold for the best, and for what is not significantly different."""
    lines = [
        "% Needs \\usepackage{booktabs}.",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_caption(blocks)}}}",
        "\\begin{tabular}{lrrrrr}",
        "\\toprule",
        "Method & SRCC & mean $\\pm$ std & PLCC & $p$ & splits \\\\",
    ]
    for block in blocks:
        lines += ["\\midrule", f"\\multicolumn{{6}}{{l}}{{\\textit{{{_text(block.title)}}}}} \\\\"]
        lines += [_row(entry) for entry in block.entries]
        lines += [
            f"{_text(one.method)} (published) & {one.srcc:.3f} & & {_number(one.plcc)} & & \\\\"
            for one in block.published
        ]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _caption(blocks: Sequence[Block]) -> str:
    sources = sorted({one.source for block in blocks for one in block.published})
    text = (
        "Agreement with ratings: medians over random splits into shots and test images. Bold: best, or not "
        "significantly different from it in SRCC (Wilcoxon's signed-rank test over splits, Holm-corrected, "
        "5\\% level); others are significantly worse, or have too few splits to tell."
    )
    return f"{text} Published: {_text('; '.join(sources))}." if sources else text


def _row(entry: Entry) -> str:
    srcc = _number(entry.srcc.median)
    cells = [
        _text(entry.label).replace("lambda", "$\\lambda$"),
        f"\\textbf{{{srcc}}}" if entry.standing.best else srcc,
        _spread(entry.srcc),
        _number(entry.plcc.median),
        _number(entry.standing.p_value),
        str(len(entry.rows)),
    ]
    return " & ".join(cells) + " \\\\"


def _spread(summary: Summary) -> str:
    if math.isnan(summary.deviation):
        return _number(summary.mean)
    return f"{_number(summary.mean)} $\\pm$ {_number(summary.deviation)}"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return _NOTHING
    text = f"{abs(value):.3f}"
    return f"$-${text}" if value < 0 and float(text) else text


def _text(text: str) -> str:
    return "".join(_ESCAPED.get(mark, mark) for mark in text)
