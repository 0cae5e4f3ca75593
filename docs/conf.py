"""Sphinx configuration; `make docs` builds the pages into build/docs and treats warnings as errors."""

import sys
from pathlib import Path

from grmp_plugin.version import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "grmp-iqa"
author = "The grmp-iqa developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_reference",
    "settings_reference",
]
exclude_patterns = ["_ext"]
# Two hyphens are the beginning of an option here, not a dash.
smartquotes = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Single backticks in docstrings are code.
default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 80
# Without it each attribute of a dataclass would be described twice.
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"grmp-iqa {release}"
html_static_path = ["_static"]
html_css_files = ["figures.css"]
html_show_copyright = False
