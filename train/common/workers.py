"""Worker processes for untrusted input: one item that hangs or kills its process costs that item, not the run.

Contract: `map_in_workers` applies a function to every item and yields the results in the order of the items, whatever
the number of workers. A batch whose process dies or runs over its time is tried again item by item; an item that is
lost again is answered by `lost(item, reason)`. `iterate_in_worker` runs a generator, such as the reader of an archive,
in a process of its own.

Invariant: at most a few batches per worker are in memory; when the parent ends, in whatever way, so do the workers.
"""

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")
Argument = TypeVar("Argument")

Loss = Literal["crash", "time_limit"]
"""Why an item has no result: its process ended, or was stopped."""

_WINDOW = 4
"""Batches per worker between the oldest unfinished and the newest started one."""
_START_SECONDS = 120.0
_READY = "ready"
MEMORY = 4 << 30
"""Bytes that a worker may hold. Some texts make parsers take memory without end; with this they end as a crash."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in lists of a size, the last of which may be shorter, taken as they are needed."""
    items = iter(items)
    return iter(lambda: list(itertools.islice(items, size)), [])


def map_in_workers(
    function: Callable[[Item], Result],
    batches: Iterable[list[Item]],
    workers: int,
    seconds: float,
    lost: Callable[[Item, Loss], Result],
) -> Iterator[Result]:
    """Apply `function` to all items of all batches in `workers` processes; yield the results in order.

    Args:
        function: a function of a module, importable in a fresh process.
        batches: lists of items, none of them empty; a batch is one message to a worker.
        workers: number of processes, started when there is work for them.
        seconds: time for one batch, after which its process is killed.
        lost: gives the result of an item that a process did not survive.

    Raises:
        RuntimeError: worker processes cannot start.
    """
    pool = _Pool(function, workers, seconds)
    try:
        yield from pool.run(batches, lost)
    finally:
        pool.stop()


class _Worker(Generic[Item]):
    """One process, its pipe, and the batch it is busy with (none while it starts)."""

    def __init__(self, function: Callable[[Item], Any]) -> None:
        context = multiprocessing.get_context("spawn")  # the parent may run threads, which a fork does not survive
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.deadline = time.monotonic() + _START_SECONDS
        self.task: _Task[Item] | None = None

    def give(self, task: "_Task[Item]", seconds: float) -> None:
        self.task, self.deadline = task, time.monotonic() + seconds
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead process is noticed when it is read
            self.connection.send(task.items)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Task(NamedTuple, Generic[Item]):
    """A batch, or one item of a batch that was lost."""

    number: int
    offset: int
    items: list[Item]


def _serve(connection: Any, function: Callable[[Any], Any]) -> None:
    """What a worker process does: answer batches until the parent closes the pipe or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    _limit_memory()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(_READY)
        while True:
            connection.send([function(item) for item in connection.recv()])


def _limit_memory(memory: int = MEMORY) -> None:
    """Have the system refuse memory beyond a limit: a text that took it all would cost other processes their lives."""
    try:
        import resource
    except ImportError:  # Windows
        return
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


class _Pool(Generic[Item, Result]):
    """The parent's side: which batch is where, which results are in, what is next to be yielded."""

    def __init__(self, function: Callable[[Item], Result], workers: int, seconds: float) -> None:
        self.function, self.seconds, self.size = function, seconds, workers
        self.idle: list[_Worker[Item]] = []
        self.busy: list[_Worker[Item]] = []
        self.todo: deque[_Task[Item]] = deque()

    def run(self, batches: Iterable[list[Item]], lost: Callable[[Item, Loss], Result]) -> Iterator[Result]:
        source = enumerate(batches)
        results: dict[int, list[Result | None]] = {}  # by batch number; None where the result is not in yet
        missing: dict[int, int] = {}
        head = 0  # the batch whose results are yielded next
        while True:
            for number, batch in itertools.islice(source, max(0, _WINDOW * self.size - len(results))):
                self.todo.append(_Task(number, 0, batch))
                results[number], missing[number] = [None] * len(batch), len(batch)
            if not results:
                return
            self._hand_out()
            for task, answer in self._answers(lost):
                results[task.number][task.offset : task.offset + len(answer)] = answer
                missing[task.number] -= len(answer)
            while missing.get(head) == 0:
                del missing[head]
                yield from cast("list[Result]", results.pop(head))
                head += 1

    def _hand_out(self) -> None:
        while self.todo and self.idle:
            worker = self.idle.pop()
            worker.give(self.todo.popleft(), self.seconds)
            self.busy.append(worker)
        starting = sum(worker.task is None for worker in self.busy)
        for _ in range(min(self.size - len(self.busy), len(self.todo) - starting)):
            self.busy.append(_Worker(self.function))

    def _answers(self, lost: Callable[[Item, Loss], Result]) -> Iterator[tuple[_Task[Item], list[Result]]]:
        """Wait for something to happen; give what is finished, and set up again what is lost."""
        timeout = max(0.0, min(worker.deadline for worker in self.busy) - time.monotonic())
        readable = multiprocessing.connection.wait([worker.connection for worker in self.busy], timeout)
        for worker in list(self.busy):
            if worker.connection in readable:
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):  # Also killed in the middle of its answer.
                    reason: Loss = "crash"
                else:
                    self.busy.remove(worker)
                    self.idle.append(worker)
                    if worker.task is not None:
                        yield worker.task, answer
                    continue
            elif time.monotonic() < worker.deadline:
                continue
            else:
                reason = "time_limit"
            self.busy.remove(worker)
            worker.stop()
            task = worker.task
            if task is None:
                raise RuntimeError(
                    "a worker process did not start; a script that starts worker processes must stand under "
                    '`if __name__ == "__main__":`'
                )
            if len(task.items) == 1:
                yield task, [lost(task.items[0], reason)]
            else:
                self.todo.extendleft(
                    _Task(task.number, task.offset + i, [item]) for i, item in reversed(list(enumerate(task.items)))
                )

    def stop(self) -> None:
        for worker in (*self.busy, *self.idle):
            worker.stop()


class WorkerLost(Exception):
    """The process of a generator did not come to its end; the message tells why."""


def iterate_in_worker(
    function: Callable[[Argument], Iterable[Result]], argument: Argument, memory: int, cpu_seconds: int, silence: float
) -> Iterator[list[Result]]:
    """Iterate over what a function gives in a process of its own, in batches; nothing is given twice.

    Args:
        function: a function of a module, importable in a fresh process.
        argument: its argument.
        memory: bytes that the process, and each that it starts, may hold.
        cpu_seconds: processor time of the process. It waits while nobody takes what it has.
        silence: seconds without a batch after which it is stopped.

    Raises:
        WorkerLost: the process ended, was stopped, or the function raised; what was given before stands.
    """
    context = multiprocessing.get_context("spawn")
    connection, theirs = context.Pipe()
    process = context.Process(target=_generate, args=(theirs, function, argument, memory, cpu_seconds), daemon=True)
    process.start()
    theirs.close()
    try:
        while True:
            if not connection.poll(silence):
                raise WorkerLost(f"nothing came of it for {silence:,.0f} seconds")
            try:
                kind, content = connection.recv()
            except (EOFError, OSError):
                process.join()
                used_up = process.exitcode == -getattr(signal, "SIGXCPU", 0)
                told = f"more than {cpu_seconds:,} seconds of processor time" if used_up else "its process ended"
                raise WorkerLost(told) from None
            if kind == _FAILED:
                raise WorkerLost(content)
            if kind == _DONE:
                return
            yield content
    finally:
        process.kill()
        process.join()
        connection.close()


_GIVEN, _DONE, _FAILED = "given", "done", "failed"
_ITEMS, _SECONDS = 16, 1.0


def _generate(
    connection: Any,
    function: Callable[[Argument], Iterable[Any]],
    argument: Argument,
    memory: int,
    cpu_seconds: int,
) -> None:
    """What the process of a generator does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory(memory)
    _limit_time(cpu_seconds)
    batch: list[Any] = []
    begin = time.monotonic()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            for item in function(argument):
                batch.append(item)
                if len(batch) == _ITEMS or time.monotonic() > begin + _SECONDS:
                    connection.send((_GIVEN, batch))
                    batch, begin = [], time.monotonic()
            connection.send((_GIVEN, batch))
            connection.send((_DONE, None))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever the input makes the function raise)
            batch.clear()
            connection.send((_FAILED, f"{type(error).__name__}: {error}"))


def _limit_time(seconds: int) -> None:
    """Have the system end this process, and each that it starts, after so much processor time."""
    with contextlib.suppress(ImportError):  # Windows
        import resource

        most = resource.getrlimit(resource.RLIMIT_CPU)[1]
        limit = seconds if most == resource.RLIM_INFINITY else min(seconds, most)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, most))
