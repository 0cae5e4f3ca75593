"""Rendering of templates."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from grmp_plugin.printable import printable
from grmp_plugin.version import __version__


def render(template: str, **values: Any) -> str:
    """The page, with all text escaped and unprintable characters spelled out.

    Args:
        template: Name of a template file.
        values: Values of its variables.
    """
    environment = Environment(
        loader=PackageLoader("grmp_plugin.report"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **values)


def _visible(value: Any) -> Any:
    """Make the value of a template expression printable; charts and macros are already."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
