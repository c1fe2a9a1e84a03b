"""Decisions as the gate makes them, for tests that need no comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headway import tracking
from headway.evaluate.decision import Decision


def decide(root: Path, name: str, version: str, decision: Mapping[str, Any]) -> None:
    """Carry out a decision about a version, as if it had been compared with the version that is the champion now."""
    holder = tracking.holder(root, name)
    in_charge = None if holder is None else holder.version
    tracking.settle(
        root, name, version, in_charge, Decision(**decision), lambda _: pytest.fail("another one took charge meanwhile")
    )
