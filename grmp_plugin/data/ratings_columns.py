"""Find the columns of a ratings file, by their usual names or as the caller names them."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grmp_plugin.errors import InputError

# Usual names of columns, as spelled by `_plain`; the last one of a set is from pyiqa's PIPAL file.
# fmt: off
IMAGE_NAMES = frozenset({
    "image", "img", "name", "filename", "file", "path", "image_name", "img_name",
    "dist_name", "dist_img", "dist_img_name",
})
MOS_NAMES = frozenset({"mos", "score", "rating", "dmos", "mean", "elo_score"})
_REFERENCE_NAMES = frozenset({"ref", "reference", "ref_img", "ref_name", "ref_img_name", "hq_name"})
_DEVIATION_NAMES = frozenset({"std", "mos_std", "std_mos", "sd", "mos_sd", "stddev", "score_std", "dmos_std"})
_RATERS_NAMES = frozenset({"raters", "n_raters", "observers", "n_ratings", "num_ratings", "n", "count"})
# fmt: on

# A column of one of these names says that each row is one person's rating.
RATER_NAMES = frozenset({"rater", "rater_id", "observer", "subject", "worker", "worker_id", "participant"})


class NamedColumns(NamedTuple):
    """Columns named by the caller; None: found by their usual names."""

    image: str | None
    mos: str | None
    reference: str | None
    deviation: str | None
    raters: str | None


@dataclass(frozen=True)
class Columns:
    """Positions of the values in a row."""

    count: int
    image: int
    mos: int
    mos_name: str
    reference: int | None
    reference_name: str
    deviation: int | None
    raters: int | None
    strict: bool  # whether the last two must be numbers: only if the caller named one
    splits: Mapping[str, int]


def find_columns(header: Sequence[str], named: NamedColumns, source: str) -> Columns:
    """Find every column of a header; raises InputError for one that is required and missing or ambiguous."""
    image = _require_column(header, named.image, IMAGE_NAMES, "image", source)
    mos = _require_column(header, named.mos, MOS_NAMES, "MOS", source)
    reference = _find_column(header, named.reference, _REFERENCE_NAMES, "reference", source)
    return Columns(
        count=len(header),
        image=image,
        mos=mos,
        mos_name=header[mos],
        reference=reference,
        reference_name="" if reference is None else header[reference],
        deviation=_find_extra(header, named.deviation, _DEVIATION_NAMES, "deviation", source),
        raters=_find_extra(header, named.raters, _RATERS_NAMES, "raters", source),
        strict=named.deviation is not None or named.raters is not None,
        splits={name: index for index, name in enumerate(header) if "split" in name.lower()},
    )


def _require_column(
    header: Sequence[str], named: str | None, usual: Collection[str], kind: str, source: str
) -> int:
    index = _find_column(header, named, usual, kind, source)
    if index is None:
        if named is None and any(_is_number(cell) for cell in header):
            raise InputError(
                f"{source}: the first line is a row of ratings, not a header. "
                "Add a header above it that names the columns, such as image,mos"
            )
        hint = "" if len(header) > 1 else ". Columns are separated by a comma, a semicolon or a tab"
        raise InputError(
            f"{source}: no column has one of the usual names of the {kind} column. {_present(header)}{hint}",
            see=(_argument(kind),),
        )
    return index


def _find_column(
    header: Sequence[str], named: str | None, usual: Collection[str], kind: str, source: str
) -> int | None:
    found = candidates(header, named, usual)
    if named is not None and not found:
        raise InputError(f"{source}: no column '{named}'. {_present(header)}", argument=_argument(kind))
    names = {header[index] for index in found}
    if len(names) > 1:
        raise InputError(
            f"{source}: several columns could be the {kind} column: {_quoted(sorted(names))}. "
            f"{_present(header)}",
            see=(_argument(kind),),
        )
    if len(found) > 1:
        raise InputError(
            f"{source}: {len(found)} columns are called '{header[found[0]]}'. Rename all but the "
            f"{kind} column in the header, or use another column. {_present(header)}",
            see=(_argument(kind),),
        )
    return found[0] if found else None


def _find_extra(
    header: Sequence[str], named: str | None, usual: Collection[str], kind: str, source: str
) -> int | None:
    """As `_find_column`, for optional columns: None if it is not clear which one."""
    if named is None and len(candidates(header, None, usual)) != 1:
        return None
    return _find_column(header, named, usual, kind, source)


def candidates(header: Sequence[str], named: str | None, usual: Collection[str]) -> list[int]:
    """Positions of the columns called `named`, or by a usual name if `named` is None."""
    if named is None:
        return [index for index, name in enumerate(header) if _plain(name) in usual]
    exact = [index for index, name in enumerate(header) if name == named]
    return exact or [index for index, name in enumerate(header) if _plain(name) == _plain(named)]


def _plain(name: str) -> str:
    """Lower case with underscores, so that SPAQ's `Image name` is an `image_name`."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _argument(kind: str) -> str:
    return f"{kind.lower()}_column"


def _present(header: Sequence[str]) -> str:
    return f"Columns present: {_quoted(header)}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
