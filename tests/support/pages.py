"""The documentation as tests read it: its pages, their code and their commands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One page: its place below the project's folder, and its text."""

    name: str
    text: str

    def code(self, language: str = "") -> list[str]:
        """Its blocks of a language; those of the shell have none."""
        return [block for marked, block in self.blocks if marked == language]

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """Its blocks in their order, each with its language."""
        return _FENCE.findall(self.text)

    @property
    def inline(self) -> list[str]:
        """Its code within sentences and tables."""
        return re.findall(r"`([^`\n]+)`", _FENCE.sub("", self.text))

    @property
    def links(self) -> list[str]:
        """What it links to, without other sites."""
        return re.findall(r"\]\(((?!https?:)[^)]+)\)", self.text)

    @property
    def anchors(self) -> set[str]:
        """Its headings as links name them."""
        headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def page(name: str) -> Page:
    """A page by its place, such as docs/models.md."""
    return Page(name, (ROOT / name).read_text(encoding="utf-8"))


def pages() -> list[Page]:
    """The README, and everything in docs/."""
    return [page(str(path.relative_to(ROOT))) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]


def commands(program: str, texts: Iterable[str]) -> list[str]:
    """The lines that begin with a program's name, without their comments; each once."""
    lines = [line.partition("#")[0].strip() for text in texts for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.split()[:1] == [program]))
