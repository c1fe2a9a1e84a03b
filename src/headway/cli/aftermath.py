"""What commands do first: what killed processes of this folder left open is brought to its end."""

from __future__ import annotations

from pathlib import Path

from headway.errors import HeadwayError
from headway.pipeline import zombies

CLOSING_SECONDS = 10.0
"""How long closing runs may keep a command from its own work: an MLflow that is away costs a time-out for each."""


def settle(root: Path, runs: bool = True) -> list[str]:
    """Finish a restore, and close the runs whose process has died where ``runs`` says so. One line for each; a problem is a line, too."""
    lines: list[str] = []
    try:
        if (root / ".headway-restore").is_dir():
            from headway.server.restore import finish

            lines += ["a restore that was interrupted is finished now"] * finish(root)
        return [*lines, *(zombies.close_dead(root, seconds=CLOSING_SECONDS) if runs else ())]
    except (HeadwayError, OSError, ValueError, KeyError) as error:  # what is damaged must not end another command
        return [*lines, f"what a killed process left could not be brought to its end: {str(error).splitlines()[0]}"]
