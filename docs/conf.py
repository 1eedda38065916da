"""How Sphinx builds the documentation."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import import_module
from importlib.metadata import version as installed
from pathlib import Path
from pkgutil import walk_packages

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx

from remit import models
from remit.collector import models as models_of_the_collector
from remit.models._types import WireModel

sys.path.insert(0, str(Path(__file__).parent.parent))

from docs.navigation import sections, title

project = "remit"
author = "the remit authors"
copyright = "the remit authors"
version = release = installed("remit")

extensions = [
    "myst_parser",
    "notfound.extension",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"remit {release}"
# Where the site is published is not known here. A publisher sets its address, the address at which
# `{filename}` is edited, and the versions that lie next to each other, for the sidebar.
html_theme_options = {"source_edit_link": os.environ.get("REMIT_DOCS_EDIT_LINK", "")}
html_context = {"versions": os.environ.get("REMIT_DOCS_VERSIONS", "").split()}
ogp_site_url = os.environ.get("REMIT_DOCS_URL", "")
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "versions.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
notfound_urls_prefix = "/"
ogp_enable_meta_description = True
ogp_social_cards = {"enable": False}
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes")]

# Links into other projects would need their inventories from the network at build time, so only
# remit's own names are held to exist.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!remit(\.|$)).*"),
    (r"py:.*", r"remit(\.\w+)*\._\w+(\.\w+)*"),  # private
    (r"py:.*", r"remit\.client\.endpoints(\.\w+)*"),  # keywords of the client's methods
    (r"py:.*", r"remit(\.\w+)*\.[A-Z]"),  # a type variable
]

PURPOSE = "See what your AI agents do, and deny what they must not do."
FENCE = re.compile(r"^(?P<indent>\s*)```(?P<language>\w*)$")
CODE = re.compile(r"(?<![`:\w])`([^`]+)`(?!`)")
BEFORE_NAPOLEON = 400


def from_markdown(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Turn what docstrings have of Markdown, code and fenced blocks, into reStructuredText."""
    indent: str | None = None
    for index, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence and indent is None:
            indent = fence["indent"]
            lines[index] = f"{indent}.. code-block:: {fence['language'] or 'text'}\n"
        elif fence:
            indent = None
            lines[index] = ""
        elif indent is None:
            lines[index] = CODE.sub(r"``\1``", line)
        elif line:
            lines[index] = f"   {line}"
    lines[:] = "\n".join(lines).split("\n")


def without_constructor(
    _app: Sphinx,
    what: str,
    name: str,
    _object: object,
    _options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Leave out how a class is made where remit makes its objects, or where it says nothing."""
    untold = "._" in name or (signature or "").startswith("(**data")
    return ("", None) if what == "class" and untold else (signature, returned)


def complete(model: type[BaseModel]) -> None:
    """Have pydantic finish what derives from a model.

    Ours put it off until their first use; by then Sphinx has written to their annotations.
    """
    for derived in model.__subclasses__():
        derived.model_rebuild()
        complete(derived)


def with_dark_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Show the picture `NAME-dark.png` instead of `NAME.png` in the dark theme."""
    for image in list(doctree.findall(nodes.image)):
        uri = image["uri"]
        dark = f"{uri.removesuffix('.png')}-dark.png"
        page = Path(app.env.doc2path(app.env.docname))
        if uri.endswith(".png") and (page.parent / dark).is_file():
            other = image.copy()
            other["uri"] = dark
            image["classes"].append("only-light")
            other["classes"].append("only-dark")
            parent = image.parent
            parent.insert(parent.index(image) + 1, other)


def for_machines(app: Sphinx, failure: Exception | None) -> None:
    """Write the pages as Markdown next to the HTML, and `llms.txt`, their table of contents."""
    if failure is not None or app.builder.name != "html":
        return
    lines = ["# remit", "", f"> {PURPOSE}"]
    for caption, names in sections():
        lines += ["", f"## {caption}", "", *(f"- [{title(name)}]({name}.md)" for name in names)]
        for name in names:
            copy = Path(app.outdir, f"{name}.md")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(app.srcdir, f"{name}.md"), copy)
    Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n")


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    for package in (models, models_of_the_collector):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    complete(WireModel)
    app.connect("autodoc-process-signature", without_constructor)
    app.connect("autodoc-process-docstring", from_markdown, priority=BEFORE_NAPOLEON)
    app.connect("doctree-read", with_dark_pictures)
    app.connect("build-finished", for_machines)
