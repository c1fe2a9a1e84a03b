"""The first stage of a language model: everything that must be true of the documents before anything is trained on them."""

from __future__ import annotations

import hashlib
from collections import Counter

from headway.data.config import SPLITS, Split
from headway.data.text import Document, Text
from headway.pipeline.validation import Source, Validation
from headway.text_project import TextProject

EXAMPLES = 3
MOST_FILES = 100
WORTH_KNOWING = 0.001
"""Share of the test's characters that training lacks above which a model of characters is warned of."""


class Seen:
    """What one pass over the documents keeps: counts, and a digest of each document, never the text."""

    def __init__(self, characters: bool) -> None:
        self.documents: Counter[Split] = Counter()
        self.bytes = self.copies = 0
        self._names: dict[Split, dict[bytes, str]] = {split: {} for split in SPLITS}
        self._characters = characters
        self._known: set[str] = set()
        self._tested: Counter[str] = Counter()

    def add(self, split: Split, document: Document) -> None:
        """Look at one document."""
        content = document.text.encode()
        key = hashlib.sha256(content).digest()
        self.copies += key in self._names[split]
        self._names[split][key] = document.name
        self.documents[split] += 1
        self.bytes += len(content)
        if self._characters and split == "train":
            self._known.update(document.text)
        elif self._characters and split == "test":
            self._tested.update(document.text)

    @property
    def empty(self) -> list[str]:
        """Parts without a document."""
        return [split for split in SPLITS if not self.documents[split]]

    @property
    def shared(self) -> list[str]:
        """Names of the test documents that training holds too."""
        return [name for key, name in self._names["test"].items() if key in self._names["train"]]

    @property
    def unknown(self) -> tuple[float, list[str]]:
        """The share of the test's characters that training lacks, and the most frequent of them."""
        lacking = Counter({c: n for c, n in self._tested.items() if c not in self._known})
        return lacking.total() / max(1, self._tested.total()), [c for c, _ in lacking.most_common(EXAMPLES)]


def examine(project: TextProject, text: Text) -> Validation:
    """Read every document. Raises DataError where one is not UTF-8; what else is wrong is among the failures."""
    seen = Seen(project.data.tokenizer == "characters")
    for split, document in text.parts():
        seen.add(split, document)
    failures, warnings = _judge(project, seen)
    counted = seen.documents.total()
    size = f"{seen.bytes / 1e6:,.1f} MB of text"
    documents = f"{counted:,} document{'s' if counted != 1 else ''}, "
    summary = size if project.data.split == "position" else documents + size
    files = tuple(text.name_of(path) for path in text.files)[:MOST_FILES]
    source = Source(text.digest, counted, files)
    return Validation(summary, tuple(failures), tuple(warnings), source, bytes=seen.bytes)


def _judge(project: TextProject, seen: Seen) -> tuple[list[str], list[str]]:
    """Failures and warnings, one line each."""
    failures = [f"the {split} part must hold text, but is empty" for split in seen.empty]
    warnings = []
    if seen.copies:
        warnings.append(f"documents should differ, but {seen.copies:,} are copies of others in their part")
    if shared := seen.shared:
        share, shown = len(shared) / seen.documents["test"], ", ".join(shared[:EXAMPLES])
        rule = (
            f"test documents must not also be training documents, but {len(shared):,} ({share:.1%}) are, "
            f"for example {shown}"
        )
        (failures if share > project.data.max_overlap else warnings).append(rule)
    share, characters = seen.unknown
    if share > WORTH_KNOWING:
        warnings.append(
            f"test characters should occur in training, but {share:.1%} do not, for example "
            f"{', '.join(map(repr, characters))}; data.tokenizer: bpe knows every character"
        )
    return failures, warnings


def rules(found: Validation) -> list[dict[str, object]]:
    """The findings as the page of a validation shows them: what is broken, and that the text could be read."""
    told = [("stop", text) for text in found.failures] + [("warn", text) for text in found.warnings]
    broken: list[dict[str, object]] = [
        {"passed": False, "severity": severity, "sentence": text, "name": "text"} for severity, text in told
    ]
    read = {"passed": True, "severity": "stop", "sentence": f"every file is UTF-8 text: {found.summary}"}
    return [*broken, {**read, "name": "text"}]
