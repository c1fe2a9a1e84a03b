"""Prepared data and caches: damaged ones are removed, and made again when they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from headway.data import cache
from headway.data.file_profiles import is_whole
from headway.data.ready import is_earlier, problem_of, take_away
from headway.doctor.finding import Finding, is_json
from headway.files import checksums
from headway.files.leftovers import remove

AGAIN = "remove it: the next run prepares it again"


def examine(root: Path) -> Iterator[Finding]:
    """Damaged stores, profiles, copies of champions, and lists in caches."""
    yield from _stores(root / "data" / "prepared")
    yield from _copies(root / "data" / "champions")
    for path in sorted((root / "data" / "watch").glob("[!.]*.json")):
        if not is_json(path):
            fix = "remove it: the next drift is reported again"
            yield Finding("the list of reported drift is damaged", path, fix, partial(remove, path))
    for name, what in {"checked": "checked files", "digests": "files' digests"}.items():
        path = root / ".cache" / f"{name}.json"
        if path.exists() and not is_json(path):
            fix = "remove it: the files are read again"
            yield Finding(f"the list of {what} is damaged", path, fix, partial(remove, path))


def _stores(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.glob("[!.]*")):
        if path.name != "profiles" and path.is_dir():
            problem = problem_of(path)
            # A store without checksums or of an earlier form is made again by the next run that needs it.
            is_old = is_earlier(path) or ((path / "store.json").exists() and not (path / checksums.NAME).exists())
            if problem is not None and not is_old:
                yield Finding(f"the prepared data is damaged: {problem}", path, AGAIN, partial(take_away, path))
    for path in sorted((folder / "profiles").glob("[!.]*.json")):
        if not is_whole(path):
            fix = "remove it: the file is profiled again"
            yield Finding("the profile of a file is damaged", path, fix, partial(remove, path))
    for path in sorted((folder / "profiles" / "rows").glob("[!.]*")):
        if not cache.is_whole(path):
            fix = "remove it: it is computed again"
            yield Finding("what is kept of a file's rows is damaged", path, fix, partial(remove, path))


def _copies(champions: Path) -> Iterator[Finding]:
    for path in sorted(champions.glob("[!.]*/[!.]*")):
        damage = next(checksums.damages(path), None)
        if damage is not None:
            fix = "remove it: it is fetched again"
            yield Finding(f"the copy of a registered version is damaged: {damage}", path, fix, partial(remove, path))
