"""Before a command: finish what killed processes of this folder left open."""

from __future__ import annotations

from pathlib import Path

from headway.errors import HeadwayError
from headway.pipeline import zombies

CLOSING_SECONDS = 10.0
"""How long closing runs may delay a command: where MLflow does not answer, each costs a time-out."""


def settle_restore(root: Path, must: bool) -> list[str]:
    """Finish a restore that was interrupted; one line where there was one.

    Raises HeadwayError or OSError where it cannot be finished although it ``must``: a command in a half-restored project would
    write files that block the restore. Otherwise the problem is a line, too.
    """
    if not (root / ".headway-restore").is_dir():
        return []
    from headway.server.placing import finish

    try:
        return ["a restore that was interrupted is finished now"] * finish(root)
    except (HeadwayError, OSError) as error:
        if must:
            raise
        return [f"a restore that was interrupted could not be finished: {str(error).splitlines()[0]}"]


def close_runs(root: Path) -> list[str]:
    """Close the runs whose process was killed; one line for each, and for a problem: damage here must not end another command."""
    try:
        return zombies.close_dead(root, seconds=CLOSING_SECONDS)
    except (HeadwayError, OSError, ValueError, KeyError) as error:
        return [f"runs of killed processes could not be closed: {str(error).splitlines()[0]}"]
