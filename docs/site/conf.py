"""How Sphinx reads the pages that build.py puts together."""

import atonce

project = "atonce"
author = "the contributors of atonce"
copyright = author
version = release = atonce.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4
# TOML, JSON and shell lines of our pages have placeholders that are no TOML, JSON or shell.
suppress_warnings = ["misc.highlighting_failure"]
highlight_language = "text"
smartquotes = False  # options begin with two dashes
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60

html_theme = "furo"
html_title = f"atonce {release}"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_extra_path = ["extra", "comparison/report.html"]
html_copy_source = False
html_show_sphinx = False

if tags.has("online"):  # type: ignore[name-defined]  # noqa: F821 (of Sphinx): without, nothing is asked of the network
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
    }
