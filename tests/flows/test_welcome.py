"""The page "Start here" in Prefect."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterId
from prefect.settings import PREFECT_UI_URL, temporary_settings

from flows.welcome import start_here

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_its_address_leads_to_the_text_and_stays_while_the_text_is_the_same() -> None:
    deployment = uuid4()
    with temporary_settings({PREFECT_UI_URL: "http://127.0.0.1:4200"}), get_client(sync_client=True) as client:
        first = start_here(client, {"flowers": deployment}, {})
        assert start_here(client, {"flowers": deployment}, {}) == first
        assert first is not None
        with_id = ArtifactFilter(id=ArtifactFilterId(any_=[UUID(first.rpartition("/")[2])]))
        (artifact,) = client.read_artifacts(artifact_filter=with_id)
        assert f"[open the form](http://127.0.0.1:4200/deployments/deployment/{deployment}/run)" in str(artifact.data)
        assert start_here(client, {"flowers": uuid4()}, {}) != first
