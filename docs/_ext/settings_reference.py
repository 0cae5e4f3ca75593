"""The directive `{settings}`: keys, defaults and meanings of a configuration dataclass as a table."""

import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def settings_markdown(cls: type[Any]) -> str:
    """A Markdown table of a dataclass's fields; nested sections are left to a directive of their own.

    Args:
        cls: A dataclass whose fields are explained under "Attributes" of its docstring, or by comments on or
            above their lines.
    """
    meanings: dict[str, str] = {}
    for base in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        meanings |= {**_comments(base), **_attributes(base)}
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        meaning = meanings.get(field.name, "").replace("|", "\\|")
        rows.append(f"| `{field.name}` | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "(section)"
    value = field.default
    if value is dataclasses.MISSING:
        return "(required)"
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    # YAML needs the point: it reads 1e-4 as text.
    text = re.sub(r"^(\d+)e", r"\1.0e", str(value))
    return f"`{text}`"


def _attributes(cls: type[Any]) -> dict[str, str]:
    """Meanings from the section "Attributes" of the docstring."""
    _, found, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    if not found:
        return {}
    lines = section.split("\n\n")[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", lines, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _comments(cls: type[Any]) -> dict[str, str]:
    """Meanings from comments: on the line of the field, and on lines of their own above it."""
    source = textwrap.dedent(inspect.getsource(cls))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    lines = source.splitlines()
    found = {}
    body = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)).body
    for node in body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        texts = [
            comments[line] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in comments
        ]
        above = node.lineno - 1
        while above in comments and lines[above - 1].lstrip().startswith("#"):
            texts.insert(0, comments[above])
            above -= 1
        found[node.target.id] = " ".join(texts)
    return found


class SettingsReference(SphinxDirective):
    """`{settings} module:Dataclass`, generated whenever the pages are built."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Describe the dataclass."""
        self.env.note_reread()
        module, name = self.arguments[0].split(":")
        return self.parse_text_to_nodes(settings_markdown(getattr(import_module(module), name)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("settings", SettingsReference)
    return {"parallel_read_safe": True}
