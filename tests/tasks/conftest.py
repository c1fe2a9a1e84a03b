"""A small prepared store for every test here."""

from tests.support.small import make_run

__all__ = ["make_run"]
