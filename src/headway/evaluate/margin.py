"""How much worse a candidate may be: a number in the metric's unit, or a share of the champion's own value."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headway.evaluate.metrics import number_text

SHARE = 0.005
"""The margin of metrics between 0 and 1, such as AUC, where none is stated."""

ERROR = "1%"
"""The margin of errors, such as RMSE, whose size depends on the target's unit."""

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True)
class Margin:
    """``value`` in the metric's unit, and its text."""

    value: float
    text: str


def check_margin(setting: object) -> float | str | None:
    """The setting as it stands. Raises ValueError where it is neither a number of at least 0 nor a percentage."""
    if setting is None or (isinstance(setting, (int, float)) and not isinstance(setting, bool) and setting >= 0):
        return setting
    if isinstance(setting, str):
        try:
            if _PERCENT.fullmatch(setting.strip()) or float(setting) >= 0:
                return setting.strip() if "%" in setting else float(setting)
        except ValueError:
            pass
    raise ValueError(f"a margin must be at least 0, or a percentage such as 1%, but is {setting!r}")


def default_margin(is_error: bool) -> float | str:
    """The margin where none is stated."""
    return ERROR if is_error else SHARE


def margin_of(margin: float | str | None, champion: float, is_error: bool, other: str) -> Margin:
    """The margin against a champion whose own value of the metric is ``champion``; ``other`` is what it is called."""
    setting = default_margin(is_error) if margin is None else margin
    if not isinstance(setting, str):
        return Margin(float(setting), f"{setting:g}")
    match = _PERCENT.fullmatch(setting)
    assert match is not None, "check_margin let it pass"
    value = float(match[1]) / 100 * abs(champion)
    return Margin(value, f"{number_text(value, value)} ({setting} of {other}'s)")
