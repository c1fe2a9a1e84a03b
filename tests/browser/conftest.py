"""The fixtures of tests/browser/garden.py, for every test here."""

from tests.browser.garden import page, up

__all__ = ["page", "up"]
