"""What a browser starts with in MLflow's pages."""

from __future__ import annotations

import json
from pathlib import Path

from fastapi import FastAPI
from mlflow.server import app as pages
from starlette.testclient import TestClient

from headway.tracking.first_visit import SETTINGS, USER, script, settle

STATIC = Path(str(pages.static_folder))


def pages_code() -> str:
    """The program of MLflow's pages."""
    return "".join(path.read_text() for path in (STATIC / "static" / "js").glob("main.*.js"))


def test_the_first_thing_in_mlflows_page_sets_what_the_browser_has_not_set() -> None:
    app = FastAPI()
    settle(app)
    own = (STATIC / "index.html").read_text()
    answer = TestClient(app).get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text == own.replace("<head>", f"<head>{script()}")
    assert answer.text.index(script()) < answer.text.index("<script defer")


def test_there_is_no_account() -> None:
    app = FastAPI()
    settle(app)
    assert TestClient(app).get(USER).json() == {"user": None}
    assert f'"{USER.removeprefix("/")}"' in pages_code()


def test_the_keys_are_those_that_mlflows_pages_read() -> None:
    code = pages_code()
    for name in SETTINGS:
        key, _, version = name.rpartition("_v")
        assert f'"{key}"' in code
        assert version == "1", "what _v1 of a later MLflow means is to be looked up"
    assert json.dumps(SETTINGS["mlflow.workflowType_v1"]) in code
