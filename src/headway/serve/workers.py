"""Prediction on every core: processes that each hold the bundle, fed batch by batch, answering in order.

Rows go to a worker through shared memory, as an Arrow stream of one batch, which is read in place; its length goes to standard input.
Predictions come back as a stream on standard output. Preparing rows is many short operations under the interpreter's lock: threads gain a
tenth where processes double the speed. Through a pipe, sending rows took a third of the time of their predictions.

Not ProcessPoolExecutor with SharedMemory: after a kill of the parent its workers, a tracker and the memory in /dev/shm (64 MB in a
container) stay; the signal that killed a worker is not reported; and everything that is sent is pickled.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO

import numpy as np
import pyarrow as pa

from headway.errors import DataError, HeadwayError

AHEAD = 2
"""Batches for each worker: one that it works on, one that waits."""

LENGTH = struct.Struct("<Q")

ALONE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""A worker's environment: it uses one core."""


class Workers:
    """A pool for one bundle. Used in a `with`; its processes end with it, and with ours."""

    def __init__(self, bundle: str | Path, count: int | None = None) -> None:
        self._bundle = Path(bundle)
        self.count = count or len(os.sched_getaffinity(0))
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: list[_Worker] = []
        self._threads = ThreadPoolExecutor(self.count, "headway-predict")

    def __enter__(self) -> Workers:
        self._all = [_Worker(self._bundle) for _ in range(self.count)]
        for worker in self._all:
            self._idle.put(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:  # no result is needed any more
            for worker in self._all:
                worker.process.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.close()

    def predict(self, batches: Iterable[pa.RecordBatch]) -> Iterator[np.ndarray]:
        """The predictions of each batch, in order; few batches are in memory at a time.

        Raises DataError for rows that the bundle refuses and HeadwayError when a worker has ended.
        """
        waiting: deque[Future[np.ndarray]] = deque()
        for batch in batches:
            waiting.append(self.submit(batch))
            if len(waiting) >= AHEAD * self.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def submit(self, batch: pa.RecordBatch) -> Future[np.ndarray]:
        """The future predictions of one batch; they raise as `predict` does, and the pool continues."""
        return self._threads.submit(self._one, batch)

    def _one(self, batch: pa.RecordBatch) -> np.ndarray:
        worker = self._idle.get()
        try:
            return worker.predict(batch)
        finally:
            self._idle.put(worker)


class InProcess:
    """The bundle in this process, with the methods of a pool: for few rows, which take less of a core than starting a process."""

    count = 1

    def __init__(self, bundle: str | Path) -> None:
        from headway.serve.bundle import answers_of, load_predictor

        self._answers_of = answers_of
        self._predictor = load_predictor(bundle)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def submit(self, batch: pa.RecordBatch) -> Future[np.ndarray]:
        """As the pool's, already done."""
        answer: Future[np.ndarray] = Future()
        try:
            answer.set_result(self._answers_of(self._predictor, batch))
        except DataError as error:
            answer.set_exception(error)
        return answer


class _Shared:
    """Memory that two processes share: an unnamed file, mapped by both. It grows and does not shrink."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._bytes = pa.py_buffer(b"")

    def of(self, size: int) -> pa.Buffer:
        """At least ``size`` bytes, to read or to write."""
        if size > self._bytes.size:
            if os.fstat(self.file).st_size < size:
                os.truncate(self.file, size * 2)
            self._bytes = pa.py_buffer(mmap.mmap(self.file, 0))
        return self._bytes


def _unnamed_file() -> int:
    """In memory where the system supports it: a container's /dev/shm may be small, unnamed memory counts as the process's own."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rows")
    with TemporaryFile() as file:
        return os.dup(file.fileno())


class _Worker:
    """A process, the memory for its rows and its two streams."""

    def __init__(self, bundle: Path) -> None:
        file = _unnamed_file()
        command = [sys.executable, "-m", "headway.serve.workers", str(bundle), str(os.getpid()), str(file)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env={**os.environ, **ALONE}, pass_fds=[file], **pipes)
        self._rows = _Shared(file)

    def predict(self, batch: pa.RecordBatch) -> np.ndarray:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        length = pa.MockOutputStream()
        _put(length, batch)
        _put(pa.FixedSizeBufferWriter(self._rows.of(length.size())), batch)
        try:
            self.process.stdin.write(LENGTH.pack(length.size()))
            self.process.stdin.flush()
            answer = pa.ipc.open_stream(self.process.stdout).read_all()
        except (OSError, pa.ArrowInvalid):
            raise HeadwayError(f"a predicting process must keep running, but it ended ({self._code()})") from None
        metadata = answer.schema.metadata or {}
        if b"refused" in metadata:
            raise DataError(metadata[b"refused"].decode())
        columns = [column.to_numpy() for column in answer.columns]
        return np.stack(columns, 1) if metadata[b"dimensions"] == b"2" else columns[0]

    def close(self) -> None:
        """Let it end, and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        os.close(self._rows.file)

    def _code(self) -> str:
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "it still runs, but does not answer"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _put(sink: pa.NativeFile, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


def main(bundle: str, parent: str, file: str) -> int:
    """The worker: lengths of rows in, a stream of one batch of predictions out for each."""
    import signal

    from headway.machine.processes import die_with_parent
    from headway.serve.bundle import answers_of, load_predictor
    from headway.train.memory import keep_memory

    keep_memory()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is handled by the parent; this process ends with the parent's pipe
    die_with_parent(int(parent))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library's output must not mix with the answers
    try:
        predictor = load_predictor(bundle)
    except HeadwayError as error:
        print(error, file=sys.stderr)
        return 2
    source, rows = os.fdopen(0, "rb"), _Shared(int(file))
    while len(header := source.read(LENGTH.size)) == LENGTH.size:
        batch = pa.ipc.open_stream(rows.of(*LENGTH.unpack(header))).read_next_batch()
        try:
            _answer(out, answers_of(predictor, batch))
        except DataError as error:
            _write(out, pa.schema([], {"refused": str(error)}), [])
    return 0


def _answer(out: IO[bytes], predictions: np.ndarray) -> None:
    columns = [pa.array(column) for column in np.atleast_2d(predictions.T)]
    fields = [pa.field(str(i), column.type) for i, column in enumerate(columns)]
    _write(out, pa.schema(fields, {"dimensions": str(predictions.ndim)}), columns)


def _write(out: IO[bytes], schema: pa.Schema, columns: Sequence[pa.Array]) -> None:
    with pa.ipc.new_stream(out, schema) as writer:
        if columns:
            writer.write_batch(pa.RecordBatch.from_arrays(list(columns), schema=schema))
    out.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
