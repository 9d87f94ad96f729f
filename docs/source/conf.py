"""Settings of Sphinx, which makes web pages of this folder."""

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent

# The page about the configuration is made from the settings themselves.
sys.path[:0] = [str(TOP), str(Path(__file__).resolve().parent)]
extensions = ["settings_reference"]

project = "ipython1"
author = "The ipython1 Development Team"
project_copyright = "The ipython1 Development Team"
release = re.search(
    r'__version__ = "(.+)"', (TOP / "ipython1" / "__init__.py").read_text(encoding="utf-8")
).group(1)
version = release

source_suffix = {".txt": "restructuredtext"}
root_doc = "index"
language = "en"
nitpicky = True
default_role = "literal"
highlight_language = "none"

html_theme = "alabaster"
html_theme_options = {
    "description": "Interactive parallel computing in Python",
    "fixed_sidebar": True,
    "page_width": "1060px",
}
html_show_sourcelink = False
