"""Templates to a page."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from grmp_plugin.printable import printable
from grmp_plugin.version import __version__


def render(template: str, **values: Any) -> str:
    """The page, with every text escaped and every character in it one that can be seen.

    Args:
        template: name of a file among the templates.
        values: what it shows.
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
    """What an expression of a template gives; charts and macros are complete already."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
