"""Another user of the machine is refused by all servers, where no password is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from headway.server import peers
from tests.browser.sites import NAMES, SOCKETS, Sites

pytestmark = pytest.mark.slow

OTHER = """
import encodings.idna, http.client, json, os, sys
requests = json.loads(sys.argv[1])
os.setgroups([]), os.setgid(65534), os.setuid(65534)
for port, method, path, body, headers in requests:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    print(connection.getresponse().status, method, path)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="skipped: becomes another user, which only root may")
@pytest.mark.skipif(not peers.are_known(), reason="skipped: this system does not say who is connected")
@pytest.mark.parametrize("name", NAMES)
def test_another_user_of_the_machine_reads_and_writes_nothing(sites: Sites, name: str) -> None:
    """Also one who says that the request is a page's own, comes through a proxy from whoever started the server, or with a password."""
    site = sites.by_name[name]
    own = {"Content-Type": "application/json"}
    sentence = (
        {},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": f"127.0.0.1:{site.port}", "X-Real-Ip": "127.0.0.1"},
        {"Origin": f"http://127.0.0.1:{site.port}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Authorization": "Basic aGVhZHdheTpoZWFkd2F5LWhlYWR3YXk="},
    )
    attempts = [
        site.reads,
        site.writes,
        ("GET", "/version", None),
        ("GET", "/api/admin/version", None),
        ("DELETE", "/", None),
    ]
    requests = [(site.port, *request, {**own, **headers}) for request in attempts for headers in sentence]
    requests.append((site.port, "GET", SOCKETS[0], None, site.upgrade()))
    command = [sys.executable, "-I", "-c", OTHER, json.dumps(requests)]
    answers = subprocess.run(command, capture_output=True, text=True)
    assert len(answers.stdout.splitlines()) == len(requests), answers.stderr
    assert {line.split()[0] for line in answers.stdout.splitlines()} == {"403"}, answers.stdout
    assert not sites.written()
