"""A small prepared store for every test here."""

from tests.small import make_run

__all__ = ["make_run"]
