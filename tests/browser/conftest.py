"""The fixtures of tests/browser/garden.py and sites.py, for every test here."""

from tests.browser.garden import page, up
from tests.browser.sites import sites

__all__ = ["page", "sites", "up"]
