"""How Sphinx builds the documentation."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib.metadata import version as installed
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent.parent))

from docs.navigation import sections, title
from remit.collector.api.openapi import document

project = "remit"
author = "the remit authors"
copyright = "the remit authors"
version = release = installed("remit")

extensions = [
    "myst_parser",
    "notfound.extension",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"remit {'.'.join(release.split('.')[:2])}"
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

PURPOSE = "See what your AI agents do, and deny what they must not do."
PYTHON_PAGES = "reference/python/*.md"
TABS = re.compile(r"^<!-- tabs -->\n(.*?)^<!-- /tabs -->$", re.MULTILINE | re.DOTALL)
TAB = re.compile(r"^\*\*(.+?)\*\*\n(.*?)(?=^\*\*|\Z)", re.MULTILINE | re.DOTALL)
OBJECT = re.compile(r"^<!-- py:(\w+) (\S+) -->$", re.MULTILINE)


def with_anchors(_app: Sphinx, _page: str, content: list[str]) -> None:
    """Give each section of the Python API its name as an anchor, such as `remit.Run.fail`."""
    content[0] = OBJECT.sub(r"```{py:\1} \2\n:no-typesetting:\n```", content[0])


def with_tabs(_app: Sphinx, _page: str, content: list[str]) -> None:
    """Show the parts between `<!-- tabs -->` and `<!-- /tabs -->`, each below a bold name, as tabs.

    Where Markdown alone is rendered, they stand below each other.
    """
    tab = r":::{tab-item} \1\n:sync: \1\n\n\2:::\n"
    content[0] = TABS.sub(
        lambda found: f"::::{{tab-set}}\n{TAB.sub(tab, found[1])}::::", content[0]
    )


def with_links(app: Sphinx, doctree: nodes.document) -> None:
    """Link public names in prose, such as `remit.flush(timeout_s=2)`, to their sections."""
    pages = [Path(app.srcdir, "reference", "errors.md"), *Path(app.srcdir).glob(PYTHON_PAGES)]
    names = {name for page in pages for _, name in OBJECT.findall(page.read_text())}
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext().removeprefix("@").partition("(")[0]
        name = f"remit.{name}" if f"remit.{name}" in names and "." in name else name
        if name in names and not isinstance(literal.parent, nodes.title | nodes.reference):
            link = pending_xref("", refdomain="py", reftype="obj", reftarget=name)
            literal.replace_self(link)
            link += literal


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
    """Write the pages as Markdown next to the HTML, `llms.txt`, and the API as OpenAPI."""
    if failure is not None or app.builder.name != "html":
        return
    lines = ["# remit", "", f"> {PURPOSE}"]
    for caption, names in sections():
        lines += ["", f"## {caption}", "", *(f"- [{title(name)}]({name}.md)" for name in names)]
        for name in names:
            copy = Path(app.outdir, f"{name}.md")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(app.srcdir, f"{name}.md"), copy)
    Path(app.outdir, "openapi.json").write_bytes(document())
    Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n")


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", with_anchors)
    app.connect("source-read", with_tabs)
    # Before Sphinx collects the pictures that it copies.
    app.connect("doctree-read", with_dark_pictures, priority=100)
    app.connect("doctree-read", with_links)
    app.connect("build-finished", for_machines)
