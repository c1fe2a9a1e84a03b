"""Where blocks of rows are worked on: by threads of this process, or by the machines of a Ray cluster (`engine: ray`).

A cluster's machines read what the work names by its path, so data, prepared rows and bundles lie on storage that all of them share, and
each has headway and the same versions of its packages. Work whose machine fails is done again by another.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Literal, Protocol, TypeVar

from headway.errors import ConfigError
from headway.machine.cores import allowed_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

Engine = Literal["local", "ray"]

CONNECTION_SECONDS = 5.0

_ENGINE: ContextVar[Engine] = ContextVar("engine", default="local")


class Pool(Protocol):
    """Does work on many items at a time."""

    @property
    def count(self) -> int:
        """How many items it works on at a time."""
        ...

    def for_work(self, work: Callable[[Item], Result]) -> Callable[[Item], Future[Result]]:
        """A function that has ``work`` done on an item. Before the first item, all that it needs goes to where it is done."""
        ...


@contextlib.contextmanager
def using(engine: Engine) -> Iterator[None]:
    """Pools that are opened meanwhile are of this engine."""
    token = _ENGINE.set(engine)
    try:
        yield
    finally:
        _ENGINE.reset(token)


def engine() -> Engine:
    """Of the pools that are opened now."""
    return _ENGINE.get()


@contextlib.contextmanager
def open_pool(threads: int | None = None) -> Iterator[Pool]:
    """A pool of the engine in use. ``threads``: of this process, whatever the engine; without, one a core.

    Work whose result is no longer needed is not begun. Raises ConfigError where the engine is Ray and there is no cluster.
    """
    pool = _Cluster() if engine() == "ray" and threads is None else _Threads(threads or len(allowed_cores()))
    try:
        yield pool
    finally:
        pool.close()


class _Threads:
    """Threads of this process."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "headway-pool")

    def for_work(self, work: Callable[[Item], Result]) -> Callable[[Item], Future[Result]]:
        return lambda item: self._pool.submit(work, item)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Cluster:
    """A core of each machine is one of its workers."""

    def __init__(self) -> None:
        self._ray = connected()
        self.count = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._waiting: dict[Future[Any], Any] = {}

    def for_work(self, work: Callable[[Item], Result]) -> Callable[[Item], Future[Result]]:
        shared = self._ray.put(work)  # goes to each machine once
        task = self._ray.remote(num_cpus=1, max_retries=-1)(_work_on)

        def submit(item: Item) -> Future[Result]:
            reference = task.remote(shared, item)
            answer = _answer_of(reference)
            self._waiting[answer] = reference
            answer.add_done_callback(lambda settled: self._waiting.pop(settled, None))
            return answer

        return submit

    def close(self) -> None:
        for reference in list(self._waiting.values()):
            self._ray.cancel(reference)


def _work_on(work: Callable[[Item], Result], item: Item) -> Result:
    return work(item)


def connected() -> Any:
    """The package ray, connected to the cluster that RAY_ADDRESS names, or that this machine belongs to. Raises ConfigError without."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
    try:
        import ray
    except ImportError:
        raise ConfigError(
            'engine: ray needs the package ray, but it is not installed; run: pip install "headway[ray]"'
        ) from None
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS") or "auto"
    try:
        if ":" in address and "://" not in address:  # Ray itself would wait for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECTION_SECONDS).close()
        ray.init(address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        place = "this machine belongs to none" if address == "auto" else f"{address} does not answer"
        fix = "start one with `ray start --head`, name one in RAY_ADDRESS, or set engine: local"
        raise ConfigError(f"engine: ray needs a Ray cluster, but {place}; {fix}") from error
    return ray


def _answer_of(reference: Any) -> Future[Any]:
    """What a task of Ray's returns. An error is the one that was raised there, without Ray's story around it."""
    from ray.exceptions import RayTaskError

    answer: Future[Any] = Future()

    def settle(task: Future[Any]) -> None:
        error = task.exception()
        if error is None:
            answer.set_result(task.result())
        else:
            answer.set_exception(error.cause if isinstance(error, RayTaskError) else error)

    reference.future().add_done_callback(settle)
    return answer
