"""What a retraining says where Prefect's server ends under it."""

from __future__ import annotations

import pytest

from headway.cli.retraining import _server_gone
from headway.errors import ConfigError


def test_a_server_that_is_gone_is_one_line_and_other_errors_stay_what_they_are() -> None:
    with (
        pytest.raises(ConfigError, match="must answer until the run has ended, but has ended itself") as refusal,
        _server_gone(),
    ):
        raise RuntimeError("Failed to reach API at http://127.0.0.1:1/api/")
    assert len(str(refusal.value).splitlines()) == 1
    with pytest.raises(RuntimeError, match="ours"), _server_gone():
        raise RuntimeError("a mistake of ours")
