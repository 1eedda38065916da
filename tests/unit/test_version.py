"""The version of a checkout names its commit; a built distribution has the one that was written."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from remit._base import version

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


def git(folder: Path, *words: str) -> str:
    """Run git in *folder* and return what it printed."""
    command = ["git", *IDENTITY, *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def version_in(folder: Path) -> str:
    """Return the version of the checkout in *folder*."""
    names = runpy.run_path(str(folder / "src" / "remit" / "_base" / "version.py"))
    return str(names["__version__"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository with the module in one commit, without tags."""
    folder = tmp_path / "checkout"
    module = folder / "src" / "remit" / "_base" / "version.py"
    module.parent.mkdir(parents=True)
    shutil.copy(version.__file__, module)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "First")
    return folder


def named(folder: Path) -> str:
    """Return the version that *folder* should have."""
    return f"{version.NEXT}+g{git(folder, 'rev-parse', 'HEAD')[:8]}"


def test_two_commits_have_two_versions(checkout: Path) -> None:
    """`remit --version` of a checkout changes with each commit, without an installation."""
    first = version_in(checkout)
    assert first == named(checkout)
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "Second")
    assert version_in(checkout) == named(checkout) != first


def test_the_commit_is_found_however_git_stores_it(checkout: Path, tmp_path: Path) -> None:
    """Packed references, a detached head, a worktree, and a shallow clone."""
    git(checkout, "pack-refs", "--all")
    assert version_in(checkout) == named(checkout)

    git(checkout, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "--quiet", "--allow-empty", "--message", "Second")
    assert version_in(tmp_path / "other") == named(tmp_path / "other") != named(checkout)

    git(tmp_path, "clone", "--quiet", "--depth", "1", checkout.as_uri(), "shallow")
    assert version_in(tmp_path / "shallow") == named(checkout)

    git(checkout, "checkout", "--quiet", "--detach")
    assert version_in(checkout) == named(checkout)


def test_without_a_repository_the_version_names_no_commit(checkout: Path, tmp_path: Path) -> None:
    """An archive of the sources, a new repository, and one that cannot be read."""
    shutil.rmtree(checkout / ".git")
    assert version_in(checkout) == version.NEXT
    git(checkout, "init", "--quiet")
    assert version_in(checkout) == version.NEXT
    (checkout / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert version_in(checkout) == version.NEXT
    shutil.rmtree(checkout / ".git")
    (checkout / ".git").write_text(f"gitdir: {tmp_path / 'gone'}\n")
    assert version_in(checkout) == version.NEXT


def test_an_installed_package_does_not_name_the_commit_of_another_project(checkout: Path) -> None:
    """`pip install --target` puts the package into a folder of somebody's repository."""
    (checkout / "src").rename(checkout / "vendor")
    (checkout / "vendor" / "remit" / "_base" / "version.txt").write_text("0.1.0.dev0+g0badcafe\n")
    names = runpy.run_path(str(checkout / "vendor" / "remit" / "_base" / "version.py"))
    assert names["__version__"] == "0.1.0.dev0+g0badcafe"
