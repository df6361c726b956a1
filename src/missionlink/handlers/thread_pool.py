"""The threads in which plain functions of the program run.

A thread is started when all others are busy, up to a bound, and ends when it has had nothing to do for a while. The
exit of the interpreter does not join them: a function that waits for a person must not keep the program from ending.

All bookkeeping happens in the event loop. A thread takes jobs from a queue, runs them and reports back.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from missionlink.errors import WouldDeadlock
from missionlink.handlers.thread_jobs import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("DEFAULT_STARVATION_SECONDS", "DEFAULT_THREADS", "HandlerThreads")

_log = logging.getLogger("missionlink.handlers")

DEFAULT_THREADS = 1024
DEFAULT_STARVATION_SECONDS = 30.0

# A thread that has nothing to do for this long ends.
_IDLE_SECONDS = 10.0
# How often a job that waits for a thread is looked at; the first look warns of it.
_CHECK_SECONDS = 1.0
# Names in a message; there may be as many functions as threads.
_MOST_NAMES = 8


class HandlerThreads:
    """Runs jobs in threads.

    Args:
        most: Most threads; further jobs wait for one.
        patience: Seconds that a job waits for a thread before it fails with ``TimeoutError``.
    """

    def __init__(self, most: int = DEFAULT_THREADS, patience: float = DEFAULT_STARVATION_SECONDS) -> None:
        self._most = most
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._count = 0
        # The jobs that have a thread, until the event loop has heard of their end.
        self._running: dict[Job, None] = {}
        self._waiting: dict[Job, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ended: deque[tuple[Job, Any, BaseException | None]] = deque()
        self._is_told = False
        self._is_closed = False

    @property
    def count(self) -> int:
        """How many threads there are."""
        return self._count

    def submit(
        self,
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        named: Mapping[str, object],
        session_id: str | None = None,
        context: contextvars.Context | None = None,
    ) -> Job:
        """Call a function in a thread.

        Args:
            function: The function.
            arguments: Its arguments by position.
            named: Its arguments by name.
            session_id: The session whose agent waits for the function.
            context: The context variables that it sees, which are changed; a copy of the caller's by default.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if context is None:
            context = contextvars.copy_context()
        job = Job(function, arguments, named, context, self._loop, session_id)
        if self._is_closed:
            job.settle(None, RuntimeError("the client has been closed"))
        elif self._waiting or not self._start(job):
            job.waits_until = self._loop.time() + self._patience
            self._waiting[job] = None
            self._check_later()
        return job

    def give_up(self, job: Job) -> None:
        """Learn that nobody waits for a job any more: it does not begin, or runs to its end unheard."""
        if job in self._waiting:
            del self._waiting[job]
            job.waits_until = None
        job.release_watchers()

    def close(self) -> None:
        """Start no further functions; those that run are left to end."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for job in list(self._waiting):
            self._fail(job, RuntimeError("the client has been closed"))
        for _ in range(self._count):
            self._jobs.put(None)
        self._count = 0

    # Starting.

    def _start(self, job: Job) -> bool:
        """Give a job to a thread that is free, or to a new one; say whether there is one."""
        if len(self._running) >= self._count and not self._add_thread():
            return False
        self._running[job] = None
        job.waits_until = None
        self._jobs.put(job)
        return True

    def _add_thread(self) -> bool:
        if self._count >= self._most:
            return False
        # Not joined by anybody: see the module's docstring.
        thread = threading.Thread(target=self._work, name=f"missionlink-handler_{self._count + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            _log.warning("no further thread can be started for plain functions: %s", error)
            return False
        self._count += 1
        return True

    def _work(self) -> None:
        """Run jobs; the target of each thread."""
        assert self._loop is not None
        try:
            while True:
                try:
                    job = self._jobs.get(timeout=_IDLE_SECONDS)
                except queue.Empty:
                    self._loop.call_soon_threadsafe(self._retire)
                    continue
                if job is None:
                    return
                outcome = (job, *job.run())
                # In this order: the thread that empties the queue has unset the mark before.
                self._ended.append(outcome)
                if not self._is_told:
                    self._is_told = True
                    self._loop.call_soon_threadsafe(self._take_ended)
                # The thread may now wait for long, and must not keep what the function was given or has returned.
                del job, outcome
        except RuntimeError:
            # The event loop was closed.
            return

    def _retire(self) -> None:
        """Let one thread end if there are more than are needed."""
        if self._count > len(self._running):
            self._count -= 1
            self._jobs.put(None)

    def _take_ended(self) -> None:
        self._is_told = False
        ended = self._ended
        while ended:
            job, result, error = ended.popleft()
            self._running.pop(job, None)
            job.settle(result, error)
        while self._waiting and not self._is_closed:
            job = next(iter(self._waiting))
            if not self._start(job):
                break
            del self._waiting[job]

    # Jobs that wait for a thread.

    def _check_later(self) -> None:
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(min(_CHECK_SECONDS, self._patience), self._check_starvation)

    def _check_starvation(self) -> None:
        """Warn of jobs that wait for a thread, and look after them from now on."""
        if self._waiting:
            _log.warning(
                "%d plain function(s) wait for a thread, the first is %s: all %d are busy with %s; raise "
                "handler_threads, or make functions that wait for long coroutine functions",
                len(self._waiting),
                next(iter(self._waiting)).name,
                self._count,
                self._names(),
            )
        self._check_again()

    def _names(self) -> str:
        counts = Counter(job.name for job in self._running)
        return ", ".join(f"{name} ({count})" for name, count in counts.most_common(_MOST_NAMES)) or "nothing"

    def _check_again(self) -> None:
        """Fail the jobs that have waited too long."""
        self._timer = None
        if not self._waiting:
            return
        assert self._loop is not None
        names = self._names()
        now = self._loop.time()
        # Threads that all wait for calls of the blocking client may wait for the very jobs that lack a thread.
        is_stuck = all(job.nested_calls for job in self._running)
        for job in list(self._waiting):
            if is_stuck and job.is_waited_for:
                problem = f"it needs a thread, and all {self._count} wait for calls of the blocking client: {names}"
                self._fail(job, WouldDeadlock(job.name, f"{problem}; raise handler_threads"))
            elif job.waits_until is not None and job.waits_until <= now:
                problem = f"no thread was free for {job.name} within {self._patience:g} s: {names} held all of them"
                self._fail(job, TimeoutError(f"{problem}; raise handler_threads"))
        if self._waiting:
            self._timer = self._loop.call_later(min(_CHECK_SECONDS, self._patience), self._check_again)

    def _fail(self, job: Job, error: BaseException) -> None:
        del self._waiting[job]
        job.waits_until = None
        job.settle(None, error)
