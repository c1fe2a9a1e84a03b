"""What commands do first: what killed processes of this folder left open is brought to its end."""

from __future__ import annotations

from pathlib import Path

from headway.errors import HeadwayError
from headway.pipeline import zombies

CLOSING_SECONDS = 10.0
"""How long closing runs may keep a command from its own work: an MLflow that is away costs a time-out for each."""


def settle_restore(root: Path, must: bool) -> list[str]:
    """Finish a restore that was interrupted; one line where there was one.

    Raises HeadwayError or OSError where it cannot be finished and ``must`` be: a command that goes on in half a project
    would write what the restore then finds in its way. Else the problem is a line, too.
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
    """Close the runs whose process has died; one line for each, and for a problem: what is damaged must not end another command."""
    try:
        return zombies.close_dead(root, seconds=CLOSING_SECONDS)
    except (HeadwayError, OSError, ValueError, KeyError) as error:
        return [f"what a killed process left could not be brought to its end: {str(error).splitlines()[0]}"]
