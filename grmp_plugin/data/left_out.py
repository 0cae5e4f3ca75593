"""What a search for images left out, by kind, and how to say so."""

from collections.abc import Mapping

from grmp_plugin.data.kinds import extra_of

QUALITY_MAP = "quality map"
"""The kind of pictures that `Scores.draw_maps` wrote."""


def left_out_words(left_out: Mapping[str, int]) -> list[str]:
    """Say what was left out, and how to have it read: one line each, none where nothing was left out.

    Args:
        left_out: Number of files by kind, such as `{"HEIC": 3, "quality map": 2}`.
    """
    lines = []
    unread = {kind: count for kind, count in left_out.items() if kind != QUALITY_MAP}
    if unread:
        total = sum(unread.values())
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(unread.items()))
        files, was = ("file of a kind", "was") if total == 1 else ("files of kinds", "were")
        verb = "is" if total == 1 else "are"
        lines.append(f"{total} {files} that {verb} not read {was} left out: {listed}{_remedy(unread)}")
    maps = left_out.get(QUALITY_MAP, 0)
    if maps:
        lines.append("1 quality map was left out" if maps == 1 else f"{maps} quality maps were left out")
    return lines


def _remedy(unread: Mapping[str, int]) -> str:
    extras = {extra.extra for extra in map(extra_of, unread) if extra is not None}
    remedies = [f"pip install 'grmp-iqa[{','.join(sorted(extras))}]'"] if extras else []
    remedies += ["a newer Pillow reads AVIF"] if "AVIF" in unread else []
    return f" ({'; '.join(remedies)})" if remedies else ""
