"""The project of an agent: where its name comes from, and the identifier on the wire."""

from __future__ import annotations

from pathlib import Path

from tests.inside import Project, identified, project_at
from tests.subtests import each

NAMED = '[project]\nname = "Shop_Desk"\n'


def written(path: Path, text: str = NAMED) -> Path:
    """Write a file, and return its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.parent


def project_in(folder: Path) -> Project:
    """Return the project of a program `main.py` in a directory."""
    return project_at(str(folder), str(folder / "main.py"))


def test_the_nearest_pyproject_names_the_project(tmp_path: Path) -> None:
    """Normalised as PEP 503 says; the name of a directory plays no part."""
    path = tmp_path / "checkout-17" / "pyproject.toml"
    deep = written(path) / "src" / "app"
    deep.mkdir(parents=True)
    assert project_in(deep) == Project("shop-desk", str(path))


@each(
    ("text", "name"),
    [
        ('[tool.poetry]\nname = "shop"\n', "shop"),
        ("[tool.ruff]\nline-length = 100\n", "above"),
        ("[project]\nname = 3\n", "above"),
        ('[project]\nname = "a b"\n', "above"),
        ("not toml [", "above"),
        ("project = 1\ntool = 2\n", "above"),
    ],
)
def test_a_file_without_a_name_is_passed_over(tmp_path: Path, text: str, name: str) -> None:
    """The next one above counts."""
    written(tmp_path / "pyproject.toml", '[project]\nname = "above"\n')
    folder = written(tmp_path / f"{abs(hash(text))}" / "pyproject.toml", text)
    assert project_in(folder).name == name


def test_a_repository_ends_the_search(tmp_path: Path) -> None:
    """What lies around it belongs to others."""
    written(tmp_path / "pyproject.toml")
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    found = project_in(tmp_path / "clone")
    assert found.name is None
    assert found.origin == (
        f"no pyproject.toml with a name at or above {tmp_path / 'clone'}; set REMIT_PROJECT"
    )


def test_an_installed_module_is_of_its_distribution(tmp_path: Path) -> None:
    """The one whose record lists the file."""
    folder = tmp_path / "site-packages"
    for name, file in (("Acme.Shop", "shop/desk.py"), ("other", "other.py")):
        written(folder / file, "")
        info = folder / f"{name}-1.dist-info"
        written(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        written(info / "RECORD", f"{file},,\n")
    assert project_at(str(folder), str(folder / "shop" / "desk.py")) == Project(
        "acme-shop", "the distribution Acme.Shop"
    )
    missing = project_at(str(folder), str(folder / "missing.py"))
    assert missing.name is None
    assert missing.origin.startswith("no distribution installed ")


@each(
    ("identifier", "project", "expected"),
    [
        ("main:answer", "shop", "shop/main:answer"),
        ("main:answer", None, "main:answer"),
        ("shop.desk:answer", "shop", "shop.desk:answer"),
        ("shop_desk.app:answer", "Shop-Desk", "shop_desk.app:answer"),
        ("shop.desk:answer", "acme-shop", "acme-shop/shop.desk:answer"),
    ],
)
def test_the_identifier_begins_with_the_project(
    identifier: str, project: str | None, expected: str
) -> None:
    """Except where the top-level package has its name."""
    assert identified(identifier, project) == expected


def test_code_without_a_file_has_no_project() -> None:
    """It says what to do."""
    assert project_at(None, "<unknown>") == Project(None, "the code has no file; set REMIT_PROJECT")
