"""Finding, checking and fetching the files of known data sets."""

from __future__ import annotations

import hashlib
import socket
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headway.data import fetch
from headway.data.datasets import locate, names
from headway.data.digests import digest_files, file_digests
from headway.data.fetch import File
from headway.errors import ConfigError, DataError
from headway.files.atomic import read_json

CONTENT = b"a,b\n1,2\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "right.csv").write_bytes(CONTENT)
    (folder / "wrong.csv").write_bytes(CONTENT[:-2])
    with zipfile.ZipFile(folder / "both.zip", "w") as archive:
        archive.writestr("folder/right.csv", CONTENT)
        archive.writestr("wrong.csv", CONTENT[:-2])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def _assert_one_line(error: pytest.ExceptionInfo[DataError], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert fetch.MIRROR in text
    for part in parts:
        assert part in text


def test_a_missing_file_is_fetched_once_and_then_found(server: str, root: Path) -> None:
    folder = root / "data" / "raw" / "toy"
    file = File("toy/right.csv", f"{server}/right.csv", SHA256)
    path = fetch.find(file, folder, root)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in folder.iterdir()] == ["right.csv"]
    nowhere = File("toy/right.csv", "http://127.0.0.1:1/", SHA256)
    assert fetch.find(nowhere, folder, root) == path


def test_wrong_bytes_are_refused_and_leave_nothing_behind(server: str, root: Path) -> None:
    with pytest.raises(DataError, match="must have SHA-256") as error:
        fetch.find(File("toy/wrong.csv", f"{server}/wrong.csv", SHA256), root / "toy", root)
    _assert_one_line(error)
    assert list((root / "toy").iterdir()) == []


def test_a_file_that_the_server_lacks_is_one_line(server: str, root: Path) -> None:
    with pytest.raises(DataError) as error:
        fetch.find(File("toy/none.csv", f"{server}/none.csv", SHA256), root / "toy", root)
    _assert_one_line(error, "404")


def test_a_file_in_an_archive_is_fetched_as_itself(server: str, root: Path) -> None:
    archive, folder = f"{server}/both.zip", root / "toy"
    path = fetch.find(File("toy/right.csv", archive, SHA256, "folder/right.csv"), folder, root)
    assert path.read_bytes() == CONTENT
    for address, member, reason in (
        (archive, "wrong.csv", "must have SHA-256"),
        (archive, "none.csv", "There is no item named"),
        (f"{server}/right.csv", "right.csv", "File is not a zip file"),
    ):
        with pytest.raises(DataError) as error:
            fetch.find(File("toy/other.csv", address, SHA256, member), folder, root)
        _assert_one_line(error, reason)
    assert [p.name for p in folder.iterdir()] == ["right.csv"]


def test_a_server_that_does_not_answer_is_one_line(root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError) as error:
        fetch.find(File("toy/x.csv", f"http://127.0.0.1:{port}/x.csv", SHA256), root / "toy", root)
    _assert_one_line(error, "refused")


def test_the_mirror_comes_first_and_is_read_where_it_lies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = root / "mirror" / "toy"
    mirror.mkdir(parents=True)
    (mirror / "x.csv").write_bytes(CONTENT)
    monkeypatch.setenv(fetch.MIRROR, str(root / "mirror"))
    file = File("toy/x.csv", "http://127.0.0.1:1/x.csv", SHA256)
    assert fetch.find(file, root / "raw", root) == mirror / "x.csv"
    assert not (root / "raw").exists()
    (mirror / "x.csv").write_bytes(CONTENT + b"3,4\n")
    with pytest.raises(DataError) as error:
        fetch.find(file, root / "raw", root)
    _assert_one_line(error, "must have SHA-256")


def test_a_file_is_hashed_once_while_it_does_not_change(root: Path) -> None:
    path = root / "x.csv"
    path.write_bytes(CONTENT)
    assert fetch.sha256_of(path, root) == SHA256
    cache = root / ".cache" / "digests.json"
    [key] = read_json(cache)
    cache.write_text(f'{{"{key}": "remembered"}}')
    assert fetch.sha256_of(path, root) == "remembered"
    path.write_bytes(CONTENT + CONTENT)
    assert fetch.sha256_of(path, root) == hashlib.sha256(CONTENT + CONTENT).hexdigest()


@pytest.mark.parametrize("broken", ["", "[1]", "{"])
def test_a_spoilt_cache_is_ignored(root: Path, broken: str) -> None:
    path = root / "x.csv"
    path.write_bytes(CONTENT)
    (root / ".cache").mkdir()
    (root / ".cache" / "digests.json").write_text(broken)
    assert fetch.sha256_of(path, root) == SHA256
    assert file_digests([str(path)], root) == {str(path): SHA256}
    digest_files([str(path)], root, None)


def test_a_mirror_that_is_no_folder_is_an_error_of_the_setting(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fetch.MIRROR, str(root / "none"))
    with pytest.raises(ConfigError, match="must name a folder"):
        locate("adult", {}, root)


def test_spoilt_own_copies_say_how_to_mend_them(root: Path) -> None:
    own = root / "data" / "raw" / "german-credit" / "german.csv"
    own.parent.mkdir(parents=True)
    own.write_text("spoilt")
    with pytest.raises(DataError, match="delete it"):
        locate("german-credit", {}, root)


def test_unknown_names_and_options_are_explained(root: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean adult"):
        locate("adlt", {}, root)
    with pytest.raises(ConfigError, match="no such setting"):
        locate("adult", {"rows": 3}, root)
    assert {"adult", "loans", "credit-default", "bike-sharing", "banking77", "sms-spam"} <= set(names())
