"""The directive `{command-reference}`: a Typer app's commands, arguments and options as a page."""

import enum
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_MARKUP = re.compile(r"\[(bold|dim)\](.*?)\[/\1?\]")
_EXAMPLES = "Examples: "
_BETWEEN_EXAMPLES = " · "


def command_markdown(app: typer.Typer) -> str:
    """The reference of an app in MyST Markdown, one section per command.

    Args:
        app: Its commands, groups and their commands are described in the order of `--help`.
    """
    command = typer.main.get_command(app)
    return "\n".join(_described(command, str(command.name)))


def _described(command: Any, path: str) -> Iterator[str]:
    """A command, then its subcommands; `path` is what is typed to call it."""
    yield f"## {path}\n"
    yield from _paragraphs(command.help or "")
    subcommands = {
        name: sub for name, sub in getattr(command, "commands", {}).items() if not getattr(sub, "hidden", 0)
    }
    yield f"```text\n{_usage(command, path, bool(subcommands))}\n```\n"
    yield f"```{{program}} {path}\n```\n"
    for panel, parameters in _panels(command.params).items():
        yield f"**{panel}**\n"
        for parameter in parameters:
            yield _parameter(parameter)
    for name, subcommand in subcommands.items():
        yield from _described(subcommand, f"{path} {name}")


def _usage(command: Any, path: str, has_subcommands: bool) -> str:
    words = [path]
    if any(parameter.param_type_name == "option" for parameter in command.params):
        words.append("[OPTIONS]")
    words += [_name(p) for p in command.params if p.param_type_name == "argument"]
    if command.context_settings.get("allow_extra_args"):
        words.append("[ARGUMENTS]...")
    return " ".join([*words, "COMMAND ..."] if has_subcommands else words)


def _panels(parameters: Sequence[Any]) -> dict[str, list[Any]]:
    """Parameters by the panel of the help that shows them."""
    panels: dict[str, list[Any]] = {}
    for parameter in parameters:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(parameter)
    # Options of the command itself come before those of a shared panel.
    return dict(sorted(panels.items(), key=lambda item: item[0] not in ("Arguments", "Options")))


def _parameter(parameter: Any) -> str:
    """One option or argument as Sphinx's `option`, which can be linked to and searched for."""
    text = " ".join(_markdown(parameter.help or "").split())
    default = _default(parameter)
    if default:
        text += f" Default: {default}."
    return f"```{{option}} {_name(parameter)}\n{text}\n```\n"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return name if parameter.required else f"[{name}]"
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {_value(parameter)}"


def _value(parameter: Any) -> str:
    """What an option takes: its placeholder, its choices, or its type."""
    if parameter.metavar:
        return str(parameter.metavar)
    shown = parameter.display_type(typer.Context(typer.core.TyperCommand("")))
    return re.sub(r"<(?:list\[)?(.*?)\]?(?: range)?>", r"<\1>", shown)


def _default(parameter: Any) -> str:
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return _escaped(shown)
    value = parameter.default
    if shown is False or parameter.required or callable(value) or value in (None, False, (), []):
        return ""
    return f"`{value.value if isinstance(value, enum.Enum) else value}`"


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a help text; examples become commands, a line each."""
    for paragraph in text.split("\n\n"):
        line = " ".join(paragraph.split())
        if line.startswith(_EXAMPLES):
            commands = "\n".join(line.removeprefix(_EXAMPLES).split(_BETWEEN_EXAMPLES))
            yield f"Examples:\n\n```text\n{commands}\n```\n"
        elif line:
            yield _markdown(line) + "\n"


def _markdown(text: str) -> str:
    """Help text with rich's markup as Markdown."""
    text = _MARKUP.sub(lambda found: f"`{found[2]}`" if found[1] == "bold" else f"({found[2]})", text)
    parts = text.split("`")
    return "`".join(part if index % 2 else _escaped(part) for index, part in enumerate(parts))


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_<>\[\]])", r"\\\1", text)


class CommandReference(SphinxDirective):
    """`{command-reference} module:app`, generated whenever the pages are built."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Describe the app in the section that the directive stands in."""
        self.env.note_reread()
        module, name = self.arguments[0].split(":")
        text = command_markdown(getattr(import_module(module), name))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
