"""What an installed Headway holds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import headway


def test_every_package_is_installed() -> None:
    """An editable install finds a package that the list lacks; a wheel does not hold it."""
    source = Path(headway.__file__).parents[1]
    with open(source.parent / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(source).parts) for path in source.rglob("__init__.py")}
    assert found | {"flows"} == set(listed)
