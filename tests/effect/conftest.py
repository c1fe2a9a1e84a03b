"""A small prepared store for every test here."""

from small import make_run

__all__ = ["make_run"]
