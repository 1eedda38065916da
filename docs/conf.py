"""How Sphinx builds the documentation."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import version as installed
from pkgutil import walk_packages

from pydantic import BaseModel
from sphinx.application import Sphinx

from remit import models
from remit.collector import models as models_of_the_collector
from remit.models._types import WireModel

project = "remit"
author = "the remit authors"
copyright = "the remit authors"
version = release = installed("remit")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"remit {release}"

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


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    for package in (models, models_of_the_collector):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    complete(WireModel)
    app.connect("autodoc-process-signature", without_constructor)
    app.connect("autodoc-process-docstring", from_markdown, priority=BEFORE_NAPOLEON)
