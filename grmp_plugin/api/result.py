"""What all results share: plain data, a data frame, files, and a table for notebooks."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from grmp_plugin.printable import printable
from grmp_plugin.run_record import RunRecord
from grmp_plugin.tables import (
    Row,
    check_not_input,
    check_report_path,
    check_table_path,
    without_nan,
    write_table,
)

if TYPE_CHECKING:
    import pandas

_SHOWN = 50  # rows in a notebook


class Result(ABC):
    """A table of rows, and the record of the run that produced it."""

    run: RunRecord

    @property
    @abstractmethod
    def columns(self) -> Sequence[str]:
        """Names of the columns."""

    @property
    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """One mapping per row, with `columns` as keys; None where there is no value."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data: the content of a JSON file."""

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a data frame."""
        import pandas

        return pandas.DataFrame([dict(row) for row in self.rows], columns=list(self.columns))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the rows to a .csv, .jsonl or .parquet file, or everything to a .json file.

        Raises:
            InputError: For another extension, a file that the run read, or a folder that is missing or not
                writable.
            GRMPError: When the file cannot be written.
        """
        file = check_table_path(path, "path")
        self._check_not_read(file)
        write_table(file, self.rows, self.columns, without_nan(self.to_dict()))
        return file

    def _read_by_run(self) -> Iterable[str]:
        """Files that the run read, which no output may replace; names that are no files do no harm."""
        return ()

    def _check_not_read(self, path: Path) -> None:
        check_not_input(path, self._read_by_run(), "path")

    def _report_file(self, path: str | os.PathLike[str]) -> Path:
        """Check where an HTML page is to be written."""
        file = check_report_path(path, "path")
        self._check_not_read(file)
        return file

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_html_(self) -> str:
        head = Markup("").join(Markup("<th>{}</th>").format(name) for name in self.columns)
        body = Markup("").join(
            Markup("<tr>{}</tr>").format(Markup("").join(_cell(row[name]) for name in self.columns))
            for row in self.rows[:_SHOWN]
        )
        more = len(self.rows) - _SHOWN
        rest = Markup("<p>{} more rows</p>").format(more) if more > 0 else Markup("")
        page = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}").format(head, body, rest)
        return str(page)


def _cell(value: Any) -> Markup:
    if value is None:
        return Markup("<td></td>")
    text = f"{value:.4f}" if isinstance(value, float) else printable(str(value))
    return Markup("<td>") + escape(text) + Markup("</td>")
