"""The scoring server: `python -m headway.serve.app SETTINGS`, started by `headway serve`. `headway.server.access` controls access.

MLflow's protocol: rows at /invocations as JSON, CSV or Parquet, answered with {"predictions": [...]}; /ping, /health and /version. Rows are
read by the same code as in batch scoring. A wrong request is answered with one line, and does not affect the process or other connections:
the sizes of bodies, the number of rows and the time of a request's arrival are limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.metadata
import json
import logging
import os
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from headway.data.records import name_in_line
from headway.errors import HeadwayError
from headway.serve.body import EXPANDED, Question, TooLarge, read_body
from headway.serve.bundle import AnyPredictor, load_predictor
from headway.serve.config import ServeConfig
from headway.server.access import Protected, rules_of
from headway.server.credentials import auth

CODES = {
    404: "ENDPOINT_NOT_FOUND",
    408: "REQUEST_TIMEOUT",
    413: "REQUEST_TOO_LARGE",
    500: "INTERNAL_ERROR",
}


class _Refusal(Exception):
    """A request that cannot be answered: its status and its line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Scorer:
    """A bundle behind HTTP."""

    predictor: AnyPredictor
    limits: ServeConfig
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(len(os.sched_getaffinity(0))))

    async def invocations(self, request: Request) -> Response:
        """Predict the rows of one request."""
        try:
            body = await self._body(request)
            kind = _single(request, "content-type")
            async with self._turns:  # more threads than cores would only wait for one another
                return Response(await asyncio.to_thread(self._answer, body, kind), media_type="application/json")
        except ClientDisconnect:
            return Response(status_code=400)  # the client has gone
        except _Refusal as refusal:
            return _line(refusal.status, str(refusal))
        except TooLarge as refusal:
            return _line(413, str(refusal))
        except HeadwayError as refusal:
            return _line(400, str(refusal))

    async def _body(self, request: Request) -> bytes:
        """The whole body. Raises _Refused when it is too large or too slow."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise _Refusal(400, "Content-Encoding must be left out, but the body is packed")
        most, parts, size = self.limits.body_bytes, [], 0
        length = request.headers.get("content-length", "0")
        if len(length) > 15 or int(length) > EXPANDED * most:  # h11 has checked that it is a number
            raise _Refusal(413, self._too_large())
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > EXPANDED * most:
                        break
                    if (
                        size <= most
                    ):  # the rest is read and dropped: a client that still sends would not read the answer
                        parts.append(part)
        except TimeoutError:
            raise _Refusal(
                408, f"a request must arrive within {self.limits.seconds:g} s, but only {size:,} bytes did"
            ) from None
        if size > most:
            raise _Refusal(413, self._too_large())
        return b"".join(parts)

    def _too_large(self) -> str:
        return (
            f"the body must have at most {self.limits.body_megabytes} MB, but it has more; `headway score` takes files"
        )

    def _answer(self, body: bytes, kind: str) -> bytes:
        try:
            question = self._read(body, kind)
        except HeadwayError:
            raise
        except Exception:  # any other error of a parser on an untrusted body
            logging.getLogger("uvicorn.error").exception("a body could not be read")
            raise _Refusal(400, f"the body must be {name_in_line(kind)}, but it cannot be read as that") from None
        frame = self.predictor.answer(question.rows, question.params)
        return json.dumps({"predictions": frame.to_dict("records")}, allow_nan=False, ensure_ascii=False).encode()

    def _read(self, body: bytes, kind: str) -> Question:
        predictor = self.predictor
        columns, observed = predictor.columns, predictor.observed
        return read_body(body, kind, columns, predictor.every, self.limits, predictor.commas, observed)


class _Patient(H11Protocol):
    """uvicorn's connection waits for a request without limit; this one closes if none begins within ``seconds``.

    An answer of which the client reads nothing for this time is given up; one that it reads slowly is not.
    """

    seconds = 30.0
    _since = 0.0
    _unsent = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._timer = self.loop.call_later(self.seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def _look(self) -> None:
        unsent = self.transport.get_write_buffer_size() + _in_kernel(self.transport.get_extra_info("socket"))
        if unsent != self._unsent:
            self._unsent, self._since = unsent, self.loop.time()
        idle = self.cycle is None or self.cycle.response_complete
        rest = self._since + self.seconds - self.loop.time() if idle else self.seconds
        if rest <= 0:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(rest, self._look)


def _in_kernel(connection: Any) -> int:
    """The bytes in the kernel's buffer that are not acknowledged: it may hold megabytes while the transport's own does not change."""
    with contextlib.suppress(OSError, AttributeError):
        return int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0


def application(predictor: AnyPredictor, limits: ServeConfig) -> Starlette:
    """The routes."""

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("\n")

    async def version(_request: Request) -> Response:
        return PlainTextResponse(importlib.metadata.version("mlflow"))

    scorer = Scorer(predictor, limits)
    routes = [Route(path, alive) for path in ("/ping", "/health")]
    routes += [Route("/version", version), Route("/invocations", scorer.invocations, methods=["POST"])]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refuse, Exception: _fail})


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, place = error.detail, f"{request.method} {name_in_line(request.url.path)}"
    if error.status_code in (404, 405):
        detail = f"a request must be POST /invocations, or GET /ping, /health or /version, but is {place}"
    answer = _line(error.status_code, detail)
    answer.headers.update(error.headers or {})
    return answer


async def _fail(_request: Request, _error: Exception) -> Response:
    """A bug of ours: its traceback is only in the log."""
    return _line(500, "the scoring server failed on this request; the reason is in its log")


def _line(status: int, text: str) -> Response:
    """An error in the form of MLflow's protocol, in one line."""
    answer = {"error_code": CODES.get(status, "BAD_REQUEST"), "message": " ".join(text.split())}
    return Response(
        json.dumps(answer) + "\n", status, {"Connection": "close"} if status in (408, 413) else None, "application/json"
    )


def _single(request: Request, name: str) -> str:
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise _Refusal(400, f"{name} must be given once, but is given {len(values)} times")
    return values[0] if values else ""


def main(settings: Mapping[str, Any]) -> None:
    """Load the bundle and answer until stopped."""
    limits = ServeConfig.parse(settings["limits"], "serve")
    app = application(load_predictor(Path(settings["bundle"])), limits)
    protocol = type("Connection", (_Patient,), {"seconds": limits.seconds})
    rules = rules_of(settings["host"], "all", auth(), os.environ)
    uvicorn.run(
        Protected(app, rules),
        host=settings["host"],
        port=settings["port"],
        http=protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=max(1, round(limits.seconds)),
    )


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except HeadwayError as error:
        sys.exit(str(error))
