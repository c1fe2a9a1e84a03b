"""The names of runs in Prefect's lists, and of its artifacts."""

from __future__ import annotations

import re

from prefect.runtime import flow_run

from headway.machine.clock import moment

_GREEK = "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|tau|upsilon|phi|chi|psi|omega"
_PRAISE = (
    "Awesome|Rustic|Small|Gorgeous|Fantastic|Sleek|Intelligent|Unbranded|Refined|Licensed|Generic|Practical|Ergonomic|Handcrafted|"
    "Tasty|Handmade|Incredible"
)
_GENERATED = re.compile(rf"[a-z]+-[a-z]+|({_GREEK})\d*(-[a-z]+)+|({_PRAISE})-\w[\w ']{{0,5}}")
"""What Prefect's server and its two pages propose: `wise-otter`, `phi5-ursae-majoris-reach`, `Handmade-Zebu`."""


def is_generated(name: str) -> bool:
    """Whether Prefect made up the name of a run. A person's own of two lower-case words looks the same, and is replaced."""
    return _GENERATED.fullmatch(name) is not None


def run_name(project: str, month: str | None = None) -> str:
    """The name of a run in lists: the project, the month of its data where that is known, and the minute."""
    return f"{project} · {moment()}" if month is None else f"{project} · {month} · {moment(form='%m-%d %H:%M')}"


def own_name() -> str | None:
    """The name that a person gave the current run in its form; None where Prefect made one up."""
    name = flow_run.name
    return None if not name or is_generated(name) else str(name)


def named_after_project() -> str:
    """The name of the current run: the one from its form, else the project and the minute."""
    return own_name() or run_name(flow_run.parameters["project"])


def artifact_key(project: str, what: str) -> str:
    """Prefect's keys are lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{project}-{what}".lower()).strip("-")
