"""A stand-in for an S3 service on this machine: a bucket that is listed, and read whole or in part. It can fail as a network does."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


@dataclass
class Bucket:
    """``objects``: each key to its bytes. ``cut``: keys of which half an answer is sent. ``refused``: keys that may not be read."""

    name: str
    objects: dict[str, bytes]
    cut: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    reads: list[str] = field(default_factory=list)

    def listing(self, prefix: str, delimiter: str) -> str:
        """The answer to ListObjectsV2."""
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        folders = sorted(
            {prefix + key[len(prefix) :].split("/")[0] + "/" for key in keys if delimiter and "/" in key[len(prefix) :]}
        )
        files = [key for key in keys if not (delimiter and "/" in key[len(prefix) :])]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2024-01-01T00:00:00Z</LastModified>"
            f"<Size>{len(self.objects[key])}</Size></Contents>"
            for key in files
        )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders)
        return f"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>{len(files)}</KeyCount>{contents}{common}</ListBucketResult>"


class _Handler(BaseHTTPRequestHandler):
    @property
    def bucket(self) -> Bucket:
        assert isinstance(self.server, _Server)
        return self.server.bucket

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        parts = urlsplit(self.path)
        name, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {one: values[0] for one, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if name == self.bucket.name and not key:
            self._send(
                200, self.bucket.listing(query.get("prefix", ""), query.get("delimiter", "")).encode(), with_body
            )
        elif name != self.bucket.name or key not in self.bucket.objects:
            self._send(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", with_body)
        elif key in self.bucket.refused:
            self._send(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", with_body)
        else:
            self._object(key, with_body)

    def _object(self, key: str, with_body: bool) -> None:
        content = self.bucket.objects[key]
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span is None:
            self._send(200, content, with_body, key)
            return
        first, last = int(span[1]), min(int(span[2] or len(content)), len(content) - 1)
        self._send(206, content[first : last + 1], with_body, key, f"bytes {first}-{last}/{len(content)}")

    def _send(self, status: int, body: bytes, with_body: bool, key: str = "", span: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", DATE)
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        if with_body:
            self.bucket.reads.append(key)
            self.wfile.write(body[: len(body) // 2] if key in self.bucket.cut else body)


class _Server(ThreadingHTTPServer):
    def __init__(self, bucket: Bucket) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bucket = bucket


@contextmanager
def serving(bucket: Bucket) -> Iterator[str]:
    """The address of a server of the bucket on this machine."""
    with _Server(bucket) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()
