"""The root of the error tree, and errors of the call itself."""

from __future__ import annotations

__all__ = (
    "HandlerFailed",
    "InvalidOption",
    "MissingExtra",
    "MissionlinkError",
    "WouldDeadlock",
    "WrongEventLoop",
)


def _rebuild(cls: type[MissionlinkError], args: tuple[object, ...], state: dict[str, object]) -> MissionlinkError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class MissionlinkError(Exception):
    """The root: catch it to catch all that missionlink raises on purpose."""

    can_retry: bool = False
    """Whether the same call may succeed when it is made again, with nothing changed."""

    def __reduce__(self) -> tuple[object, ...]:
        # The default calls the class with ``args``, which fails for classes with keyword-only facts.
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class InvalidOption(MissionlinkError, ValueError):
    """An option or argument is wrong; nothing was sent."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        """Name of the option or argument."""


class MissingExtra(MissionlinkError, ImportError):
    """A part of missionlink was used whose optional packages are not installed."""

    def __init__(self, extra: str, needed_by: str) -> None:
        super().__init__(f"{needed_by} needs optional packages: pip install 'missionlink[{extra}]'")
        self.extra = extra
        """Name of the extra to install."""


class WouldDeadlock(MissionlinkError):
    """A blocking call would have waited for itself: it was made by what it waits for. Nothing was done."""

    def __init__(self, call: str, why: str) -> None:
        super().__init__(f"{call} would wait for ever: {why}")
        self.call = call
        """What was called."""


class WrongEventLoop(MissionlinkError, RuntimeError):
    """Something was used in another event loop than the one in which its client was started. Nothing was done."""

    def __init__(self, *, is_over: bool) -> None:
        super().__init__(
            "the client was started in another event loop"
            + (", which is closed" if is_over else "")
            + "; make a client in each loop (or asyncio.run), or use missionlink.Client, which works from any thread"
        )
        self.is_over = is_over
        """Whether that event loop is closed, as after ``asyncio.run``."""


class HandlerFailed(MissionlinkError):
    """A handler of the program raised or returned what cannot be sent; ``__cause__`` is its exception."""

    def __init__(self, what: str, session_id: str | None = None) -> None:
        super().__init__(f"the handler for {what} failed" + (f" in session {session_id!r}" if session_id else ""))
        self.what = what
        self.session_id = session_id
