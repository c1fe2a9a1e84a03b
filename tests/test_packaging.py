"""What an installed Headway holds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import headway


def test_every_file_beside_the_modules_is_installed() -> None:
    """A wheel holds none that no pattern of the package's data names."""
    source = Path(headway.__file__).parents[1]
    with open(source.parent / "pyproject.toml", "rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["*"]
    beside = [path for path in source.glob("headway/**/*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert beside
    assert [path.name for path in beside if not any(path.match(pattern) for pattern in patterns)] == []


def test_every_package_is_installed() -> None:
    """An editable install finds a package that the list lacks; a wheel does not hold it."""
    source = Path(headway.__file__).parents[1]
    with open(source.parent / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    packages = {".".join(path.parent.relative_to(source).parts) for path in source.rglob("__init__.py")}
    assert packages | {"flows"} == set(listed)


def test_the_type_checker_asks_for_no_package_that_make_test_leaves_out() -> None:
    """`make bench` installs the tools to compare with afterwards: a clean machine checks types without them."""
    source = Path(headway.__file__).parents[1]
    with open(source.parent / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)
    extras = project["project"]["optional-dependencies"]
    optional = {
        name for extra, names in extras.items() if extra != "dev" for name in names if name not in extras["dev"]
    }
    unread = {pattern.removesuffix(".*") for pattern in project["tool"]["pyrefly"]["replace-imports-with-any"]}
    assert optional - unread == set()
