"""Jobs of threads: each is one call of a plain function, and says when the function has been entered."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from missionlink.errors import WouldDeadlock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

__all__ = ("Entry", "Job", "is_waited_for_by", "nested_call", "waits_for_itself")

# How long the event loop waits for a thread that is about to enter its function, and only lacks the interpreter.
_HANDOVER_SECONDS = 0.0005
# The same, where the thread has said that it is there.
_YIELD_SECONDS = 0.00005
_MOST_YIELDS = 1000
# A thread that wants the interpreter takes it from another one after 5 ms (``sys.getswitchinterval``).
_SWITCH_SECONDS = 0.004

_NO_NAMES: Mapping[str, object] = {}
_here = threading.local()
# The job that the code belongs to, also where it has sent a prompt and a handler of that prompt's turn runs.
_job: contextvars.ContextVar[Job | None] = contextvars.ContextVar("missionlink_job", default=None)


@contextlib.contextmanager
def nested_call() -> Generator[None, None, None]:
    """Note that the calling thread waits for the event loop; outside of these threads it is a no-op."""
    job: Job | None = getattr(_here, "job", None)
    if job is None:
        yield
        return
    job.nested_calls += 1
    try:
        yield
    finally:
        job.nested_calls -= 1


def is_waited_for_by(session_id: str) -> bool:
    """Whether the agent of a session waits for the code that calls this, in the thread of a plain function.

    The agent may wait for this function, or for one that waits for it.
    """
    job = _job.get()
    while job is not None and not job.has_ended:
        if job.session_id == session_id:
            return True
        job = job.parent
    return False


def waits_for_itself(call: str, session_id: str) -> WouldDeadlock:
    """Return the error of a call that waits for a turn, in a function for which the agent of the session waits."""
    return WouldDeadlock(
        call,
        f"the agent of session {session_id!r} waits for this very function; return first, send() without waiting, or "
        "use another session",
    )


class Job:
    """One call of a plain function in a thread; await it for what the function returns.

    Args:
        function: The function, with its arguments.
        arguments: By position.
        named: By name.
        context: The context variables that the function sees.
        loop: The event loop that waits for it.
        session_id: The session whose agent waits for the function.
    """

    __slots__ = (
        "_arguments", "_context", "_door", "_function", "_future", "_is_entering", "_loop", "_named", "_watchers",
        "entered_at", "has_ended", "nested_calls", "parent", "session_id", "waits_until",
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        named: Mapping[str, object],
        context: contextvars.Context,
        loop: asyncio.AbstractEventLoop,
        session_id: str | None,
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._named = named
        self._context = context
        self._loop = loop
        self._future: asyncio.Future[Any] = loop.create_future()
        self._watchers: list[Callable[[], None]] | None = None
        # Held by the event loop until the thread, which somebody watches, is about to enter the function.
        self._door: threading.Lock | None = None
        self._is_entering = False
        self.entered_at: float | None = None
        """When a thread entered the function, as the event loop counts time; ``None`` before."""
        self.waits_until: float | None = None
        """When the job gives up waiting for a thread; ``None`` while it does not wait for one."""
        self.nested_calls: int = 0
        """Calls of the blocking client that the function waits for now."""
        self.has_ended: bool = False
        """Whether the function has returned or raised."""
        self.session_id: str | None = session_id
        self.parent: Job | None = context.get(_job)
        """The job whose function sent the prompt that led to this one; ``None`` if none did."""
        context.run(_job.set, self)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._future.__await__()

    @property
    def name(self) -> str:
        """The function's name, for messages."""
        return getattr(self._function, "__qualname__", None) or type(self._function).__qualname__

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the result any more, or it is there."""
        return self._future.done()

    @property
    def is_waited_for(self) -> bool:
        """Whether the function of another job, in a thread of its own, may be waiting for this one."""
        return self.parent is not None and not self.parent.has_ended

    def watch(self, entered: Callable[[], None]) -> bool:
        """Say whether the function has been entered or never will be; else ``entered`` is called when that is so.

        ``entered`` is called in the event loop, once.
        """
        if self._future.done():
            return True
        if self._watchers is None:
            if self.entered_at is not None or self._hand_over():
                self._let_begin()
                return True
            self._watchers = []
            if self._is_entering:
                # It may have looked for watchers already.
                self._let_begin()
                return True
        self._watchers.append(entered)
        return False

    def _hand_over(self) -> bool:
        """Give the interpreter to the thread that is about to enter the function; say whether it has taken it.

        A thread that only lacks the interpreter takes it at once, which spares two rounds of the event loop.
        """
        door = threading.Lock()
        door.acquire()
        self._door = door
        if self._is_entering:
            # It may have looked for the door already.
            return True
        return self.waits_until is None and door.acquire(timeout=_HANDOVER_SECONDS)

    def _let_begin(self) -> None:
        """Wait until the function has begun, in a thread that is a few instructions in front of it."""
        for _ in range(_MOST_YIELDS):
            if self.entered_at is not None:
                break
            time.sleep(_YIELD_SECONDS)
        if self.entered_at is None or self._loop.time() - self.entered_at > _SWITCH_SECONDS:
            # So late, the interpreter may have been taken from the thread in front of the function's first line.
            time.sleep(2 * _YIELD_SECONDS)

    def release_watchers(self) -> None:
        """Call those who watch in the event loop's next round: they need not wait any longer."""
        watchers, self._watchers = self._watchers, None
        for entered in watchers or ():
            self._loop.call_soon(entered)

    def run(self) -> tuple[Any, BaseException | None]:
        """Call the function and return its result or what it raised; called in a thread."""
        # A function may wait in ``input()`` when the interpreter ends. Closing the standard input, which is locked
        # then, would abort the process; this frame, which is never left, keeps it from being closed.
        held = sys.stdin
        _here.job = self
        try:
            if self._future.done():
                # Nobody waits for it any more.
                return None, None
            self._is_entering = True
            if self._watchers is not None:
                self._loop.call_soon_threadsafe(self._pass_door)
            if self._door is not None:
                self._door.release()
            self.entered_at = self._loop.time()
            # The call above may give the interpreter to another thread, nothing behind it does: when the event loop is
            # through the door, the function has begun.
            return self._context.run(self._function, *self._arguments, **self._named), None
        except (StopIteration, GeneratorExit, KeyboardInterrupt) as error:
            # No future can carry the first, the second would close the coroutine that waits, and the third would end
            # the event loop, though no signal ever comes to this thread.
            failure = RuntimeError(f"the function raised {type(error).__name__}")
            failure.__cause__ = error
            return None, failure
        except BaseException as error:  # the program's code: the waiting task gets it
            return None, error
        finally:
            _here.job = None
            self.has_ended = True
            # Handlers that send the prompts of the next ones would else make a chain without end.
            self.parent = None
            # A context that outlives the call must not keep what the function was given.
            self._arguments, self._named = (), _NO_NAMES
            del held

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Hand the outcome to the waiting task."""
        if self._future.done():
            if inspect.iscoroutine(result):
                # Nobody will await it, of which Python would warn in the program's name.
                result.close()
        elif error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)
            # Read, so that asyncio does not call it forgotten where a task was cancelled before its first step.
            self._future.exception()
        self.release_watchers()

    def _pass_door(self) -> None:
        # The thread is at its function and only lacks the interpreter, which waiting here gives it.
        if self._door is not None:
            self._door.acquire(timeout=_MOST_YIELDS * _YIELD_SECONDS)
        self._let_begin()
        self.release_watchers()


class Entry:
    """The moment in which a handler's plain function is entered."""

    __slots__ = ("job",)

    def __init__(self) -> None:
        self.job: Job | None = None
        """The function's job; ``None`` before there is one, and where no plain function is called."""

    def watch(self, entered: Callable[[], None]) -> bool:
        """See ``Job.watch``; a handler whose first step called no plain function has been entered."""
        return self.job is None or self.job.watch(entered)

    @property
    def lacks_thread(self) -> bool:
        """Whether the function waits because no thread is free."""
        return self.job is not None and self.job.waits_until is not None
