"""The root of the error tree, and errors of the call itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "HandlerFailed",
    "InvalidOption",
    "MissingExtra",
    "MissionlinkError",
    "RequestMisdirected",
    "WouldDeadlock",
    "WrongEventLoop",
    "did_you_mean",
    "with_reason",
    "worded",
)


# What a text ends with that was put together with an empty part, such as the text of a TimeoutError.
_NO_END = ": \t\r\n"


def _rebuild(cls: type[MissionlinkError], args: tuple[object, ...], state: dict[str, object]) -> MissionlinkError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def worded(text: object, otherwise: str) -> str:
    """Return the text, or another where it is empty; an end without words is cut off."""
    return ("" if text is None else str(text).strip().rstrip(_NO_END)) or otherwise


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'model'?"`` for a misspelt name, or an empty text where no known name is like it."""
    # Imported here: it is needed for mistakes only.
    import difflib

    plain = {one.replace("_", "").lower(): one for one in known}
    wanted = str(name).replace("_", "").replace("-", "").lower()
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.65)
    begun = [one for one in plain if len(wanted) > 2 and one.startswith(wanted)]
    found = close or (begun if len(begun) == 1 else [])
    return f"; did you mean {plain[found[0]]!r}?" if found else ""


def with_reason(text: str, reason: object) -> str:
    """Return the text with a reason after a colon; without one where there is none."""
    said = worded(reason, "")
    return f"{text}: {said}" if said else text


def _meaning(cls: type[MissionlinkError]) -> str:
    """Return what an error means whose text says nothing: the first sentence about its class."""
    documented = next((one for one in cls.__mro__ if one.__doc__ and issubclass(one, MissionlinkError)), cls)
    return (documented.__doc__ or cls.__name__).partition("\n")[0].partition(". ")[0].rstrip(".")


class MissionlinkError(Exception):
    """The root: catch it to catch all that missionlink raises on purpose."""

    can_retry: bool = False
    """Whether the same call may succeed when it is made again, with nothing changed."""
    text: str = ""
    """Of an error that ends a turn, or the wait for it: what the agent has said so far."""

    def __init__(self, *args: object) -> None:
        if args and (args[0] is None or isinstance(args[0], str)):
            args = (worded(args[0], _meaning(type(self))), *args[1:])
        super().__init__(*args)

    def __str__(self) -> str:
        return super().__str__() or _meaning(type(self))

    @property
    def events(self) -> tuple[Any, ...]:
        """Of such an error: the persisted events of the turn, the last 1,000 at most."""
        # Not an annotated attribute: tools resolve annotations in the package, which does not know this type.
        events: tuple[Any, ...] = self.__dict__.get("_events", ())
        return events

    @events.setter
    def events(self, events: tuple[Any, ...]) -> None:
        self.__dict__["_events"] = events

    def __reduce__(self) -> tuple[object, ...]:
        # The default calls the class with ``args``, which fails for classes with keyword-only facts.
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class InvalidOption(MissionlinkError, ValueError):
    """An option or argument is wrong; nothing was sent."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(with_reason(worded(option, "an option"), worded(problem, "it cannot be used")))
        self.option = option
        """Name of the option or argument."""


class MissingExtra(MissionlinkError, ImportError):
    """A part of missionlink was used whose optional packages are not installed."""

    def __init__(self, extra: str, needed_by: str) -> None:
        user = worded(needed_by, "this part of missionlink")
        super().__init__(f"{user} needs optional packages: pip install 'missionlink[{extra}]'")
        self.extra = extra
        """Name of the extra to install."""


class WouldDeadlock(MissionlinkError):
    """A call would have waited for itself: it was made by what it waits for. Nothing was done."""

    def __init__(self, call: str, why: str) -> None:
        super().__init__(with_reason(f"{worded(call, 'the call')} would wait for itself", why))
        self.call = call
        """What was called."""


class WrongEventLoop(MissionlinkError, RuntimeError):
    """Something was used in an event loop in which it cannot work, or in none. Nothing was done."""

    def __init__(self, problem: str = "", *, is_over: bool = False) -> None:
        closed = ", which is closed" if is_over else ""
        super().__init__(
            problem
            or f"the client was started in another event loop{closed}; make a client in each loop (or asyncio.run), or "
            "use missionlink.Client, which works from any thread"
        )
        self.is_over = is_over
        """Whether that event loop is closed, as after ``asyncio.run``."""


class HandlerFailed(MissionlinkError):
    """A handler of the program raised or returned what cannot be sent; ``__cause__`` is its exception."""

    def __init__(self, what: str, session_id: str | None = None) -> None:
        super().__init__(
            f"the handler for {worded(what, 'a request')} failed"
            + (f" in session {session_id!r}" if session_id else "")
        )
        self.what = what
        self.session_id = session_id


class RequestMisdirected(HandlerFailed):
    """A handler answered a request of another session than the one that it was given for.

    Handed to the client's ``on_error``. The runtime held a cloud creation back; the only creation under way answered
    a request that came meanwhile, and then the response named another session.
    """

    def __init__(self, what: str, session_id: str | None, named: str) -> None:
        super().__init__(what, session_id)
        text = f"the request {what} of session {session_id!r} was answered by handlers that were given for session"
        self.args: tuple[object, ...] = (f"{text} {named!r}: the response of the creation named that one",)
        self.named = named
        """The session that the handlers were given for."""
