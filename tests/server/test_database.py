"""HEADWAY_DATABASE: read, made, checked, held; a clear line for each way in which it can be wrong."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from headway.errors import ConfigError
from headway.files import database as db
from headway.files.versions import MIGRATIONS, check_versions, revisions_of
from headway.machine.processes import free_port


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variable in ("PGPASSWORD", "PGSSLMODE"):
        monkeypatch.setenv(variable, "")
    return monkeypatch


def test_no_address_that_is_shown_holds_the_password(ask: pytest.MonkeyPatch) -> None:
    ask.setenv("HEADWAY_DATABASE", "postgresql://me%40x:p%2Fw%401@db.example:6000/team?sslmode=require")
    databases = db.database()
    assert databases is not None
    url = make_url(databases.url("asyncpg", "prefect"))
    assert (url.drivername, url.username, url.host, url.port) == ("postgresql+asyncpg", "me@x", "db.example", 6000)
    assert (url.password, url.database) == (None, "team_prefect")
    assert (os.environ["PGPASSWORD"], os.environ["PGSSLMODE"]) == ("p/w@1", "require")
    assert "p/w" not in databases.address("mlflow") + repr(databases)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("mysql://u@h/d", "begins with mysql:// and names host h"),
        ("postgresql:///d", "names host (none)"),
        ("postgresql://h:x/d", "it cannot be read"),
        ("postgresql://h:99999/d", "it cannot be read"),
        ("postgresql://u:p/w@h/d", "it cannot be read"),
        ("postgresql://h/a b", "the database is called 'a b'"),
        ("postgresql://h/d?ssl=1", "it has ?ssl; only sslmode is known"),
    ],
)
def test_an_address_that_is_none_is_one_line(ask: pytest.MonkeyPatch, text: str, fact: str) -> None:
    ask.setenv("HEADWAY_DATABASE", text)
    with pytest.raises(ConfigError) as refusal:
        db.database()
    assert str(refusal.value).startswith("HEADWAY_DATABASE must be like postgresql://")
    assert fact in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_at_in_a_password_is_never_taken_for_the_host(ask: pytest.MonkeyPatch) -> None:
    ask.setenv("HEADWAY_DATABASE", "postgresql://u:p@w@h/d")
    assert db.database() == db.Database("u", "h", 5432, "d")
    assert os.environ["PGPASSWORD"] == "p@w"


def test_a_database_that_is_away_or_refuses_is_one_line(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_DATABASE", setting.replace("p%2Fw%401", "wrong"))
    both_databases = db.database()
    assert both_databases is not None
    with pytest.raises(ConfigError, match="must accept user headway, but it refuses"):
        db.make_databases(both_databases)
    monkeypatch.setenv("HEADWAY_DATABASE", f"postgresql://headway:x@127.0.0.1:{free_port()}/d")
    both_databases = db.database()
    assert both_databases is not None
    with pytest.raises(ConfigError, match="must answer, but: .*Connection refused"):
        db.make_databases(both_databases)


def test_both_databases_are_made_once_and_held_by_one(setting: str) -> None:
    databases = db.database()
    assert databases is not None
    db.make_databases(databases)
    db.make_databases(databases)
    with (
        db.own_database(databases, "prefect"),
        db.own_database(databases, "mlflow"),
        pytest.raises(ConfigError, match=rf"must have one Prefect server, but headway up on .* process {os.getpid()}"),
        db.own_database(databases, "prefect"),
    ):
        pass
    with db.own_database(databases, "prefect"):
        pass


def execute(databases: db.Database, part: str, *statements: str) -> None:
    with (
        contextlib.closing(
            psycopg2.connect(
                host=databases.host, port=databases.port, user=databases.user, dbname=databases.database(part)
            )
        ) as c,
        c,
        c.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


def test_a_database_of_another_version_is_one_line(setting: str, root: Path) -> None:
    databases = db.database()
    assert databases is not None
    db.make_databases(databases)
    check_versions(root, databases)
    execute(databases, "prefect", "CREATE TABLE flow_run (id int)")
    with pytest.raises(ConfigError, match="1 tables and no version: half-migrated"):
        check_versions(root, databases)
    execute(
        databases,
        "prefect",
        "CREATE TABLE alembic_version (version_num text)",
        "INSERT INTO alembic_version VALUES ('fff')",
    )
    with pytest.raises(ConfigError, match="version fff is unknown to the Prefect installed here"):
        check_versions(root, databases)


def test_an_sqlite_database_of_another_version_is_one_line(root: Path) -> None:
    path = db.sqlite_file(root, "mlflow")
    path.parent.mkdir()
    revision, newest = revisions_of("mlflow", "sqlite")
    older = min(revision - newest)
    for version, fact in (("fff", "version fff is unknown"), (older, f"version {older} is older; headway backup")):
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE alembic_version (version_num text)")
            database.execute("INSERT INTO alembic_version VALUES (?)", (version,))
            database.execute("CREATE TABLE experiments (name text)")  # what was never filled would be made anew
            database.execute("INSERT INTO experiments VALUES ('flowers')")
        with pytest.raises(ConfigError) as error_info:
            check_versions(root, None)
        assert fact in str(error_info.value)
    path.write_text("this is not a database " * 100)
    with pytest.raises(ConfigError, match="must be MLflow's database, but: file is not a database"):
        check_versions(root, None)


def test_the_newest_revisions_are_what_the_packages_themselves_call_head() -> None:
    for part, kind in MIGRATIONS:
        assert len(revisions_of(part, kind)[1]) == 1
