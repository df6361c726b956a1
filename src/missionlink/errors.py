"""Every error that missionlink raises, in one tree.

The branches follow what a caller does next: mend the call, mend the machine, reconnect, retry or give up.

    MissionlinkError
    ├─ InvalidOption (also ValueError)
    ├─ MissingExtra (also ImportError)
    ├─ WouldDeadlock
    ├─ WrongEventLoop (also RuntimeError)
    ├─ RuntimeUnavailable
    │  ├─ RuntimeNotFound
    │  ├─ RuntimeInstallFailed
    │  ├─ RuntimeStartFailed
    │  │  └─ RuntimeStartTimeout (also TimeoutError)
    │  └─ RuntimeIncompatible
    ├─ ConnectionFailed
    │  ├─ ConnectionLost
    │  └─ ConnectionClosed
    ├─ ProtocolError
    │  ├─ RemoteProtocolError
    │  ├─ LocalProtocolError
    │  └─ UnexpectedResult
    ├─ RequestFailed
    │  ├─ RpcError
    │  │  ├─ AuthenticationFailed
    │  │  └─ UnsupportedByRuntime
    │  ├─ OperationFailed
    │  └─ RequestTimeout (also TimeoutError)
    ├─ SessionError
    │  ├─ SessionNotFound
    │  ├─ SessionBusy (also TimeoutError)
    │  ├─ SessionClosed
    │  ├─ SessionIdMismatch
    │  │  └─ SessionAlreadyOpen
    │  ├─ CloudSessionFailed
    │  │  ├─ CloudPolicyRefused
    │  │  ├─ CloudValidationFailed
    │  │  ├─ CloudUnauthorized
    │  │  ├─ CloudNotStarted
    │  │  ├─ CloudUnreachable
    │  │  ├─ CloudNotReady (also TimeoutError)
    │  │  ├─ CloudTimeout (also RequestTimeout)
    │  │  ├─ CloudResponseInvalid (also ProtocolError)
    │  │  ├─ CloudIdMismatch (also SessionIdMismatch)
    │  │  ├─ CloudSessionNotFound (also SessionNotFound)
    │  │  ├─ CloudUnsupported (also UnsupportedByRuntime)
    │  │  ├─ CloudConnectionLost (also ConnectionLost)
    │  │  ├─ CloudConnectionClosed (also ConnectionClosed)
    │  │  └─ CloudConnectionBroken (also RemoteProtocolError)
    │  ├─ TurnFailed
    │  │  ├─ OutputInvalid
    │  │  └─ TurnTimeout (also TimeoutError)
    │  └─ ConsumerOverflow
    ├─ HandlerFailed
    │  └─ RequestMisdirected
    ├─ MissionControlError
    │  ├─ MissionControlStartFailed
    │  ├─ StoreRefused
    │  ├─ StoreUnavailable
    │  └─ TaskRefused
    └─ ScriptMismatch (also AssertionError)

Each error keeps its facts in attributes, says what to do in its text, and survives ``copy`` and ``pickle``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from missionlink._error_texts import useful_line, with_reason, worded

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "AuthenticationFailed",
    "CloudConnectionBroken",
    "CloudConnectionClosed",
    "CloudConnectionLost",
    "CloudIdMismatch",
    "CloudNotReady",
    "CloudNotStarted",
    "CloudPolicyRefused",
    "CloudResponseInvalid",
    "CloudSessionFailed",
    "CloudSessionNotFound",
    "CloudTimeout",
    "CloudUnauthorized",
    "CloudUnreachable",
    "CloudUnsupported",
    "CloudValidationFailed",
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionLost",
    "ConsumerOverflow",
    "HandlerFailed",
    "InvalidOption",
    "LocalProtocolError",
    "MissingExtra",
    "MissionControlError",
    "MissionControlStartFailed",
    "MissionlinkError",
    "OperationFailed",
    "OutputInvalid",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestFailed",
    "RequestMisdirected",
    "RequestTimeout",
    "RpcError",
    "RuntimeIncompatible",
    "RuntimeInstallFailed",
    "RuntimeNotFound",
    "RuntimeStartFailed",
    "RuntimeStartTimeout",
    "RuntimeUnavailable",
    "ScriptMismatch",
    "SessionAlreadyOpen",
    "SessionBusy",
    "SessionClosed",
    "SessionError",
    "SessionIdMismatch",
    "SessionNotFound",
    "StoreRefused",
    "StoreUnavailable",
    "TaskRefused",
    "TurnFailed",
    "TurnTimeout",
    "UnexpectedResult",
    "UnsupportedByRuntime",
    "WouldDeadlock",
    "WrongEventLoop",
)

# Statuses of a model that may answer later: it took too long, or was asked too often.
_TRANSIENT = (408, 429)


_SERVER_ERROR = 500


def _rebuild(cls: type[MissionlinkError], args: tuple[object, ...], state: dict[str, object]) -> MissionlinkError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


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


class RuntimeUnavailable(MissionlinkError):
    """There is no runtime program that can be used."""


class RuntimeNotFound(RuntimeUnavailable):
    """No runtime program was found in any of the places that were searched."""

    def __init__(self, tried: Sequence[tuple[str, str]]) -> None:
        lines = "".join("\n  " + with_reason(place, why) for place, why in tried)
        super().__init__(
            "no agent runtime was found; install it with 'missionlink runtime install'"
            + (f". Looked at:{lines}" if lines else "")
        )
        self.tried: tuple[tuple[str, str], ...] = tuple(tried)
        """Pairs of a place and the reason why it was refused, in the order of search."""


class RuntimeInstallFailed(RuntimeUnavailable):
    """The runtime could not be installed; nothing was put in its place."""

    def __init__(self, problem: str, *, reason: str = "other", detail: str = "") -> None:
        super().__init__(problem)
        self.reason = reason
        """``"npm"``, ``"network"``, ``"registry"``, ``"checksum"``, ``"disk"``, ``"permission"``, ``"platform"``
        or ``"other"``."""
        self.detail = detail
        """The last lines of what npm or the runtime said, without credentials; empty when neither was run."""
        self.can_retry: bool = reason == "network"


class RuntimeStartFailed(RuntimeUnavailable):
    """The runtime was started and did not become usable."""

    def __init__(self, problem: str, *, exit_code: int | None = None, stderr: str = "") -> None:
        problem = worded(problem, "the runtime was started and did not become usable")
        super().__init__(_with_process(problem, exit_code, useful_line(stderr)))
        self.exit_code = exit_code
        """Exit status of the process, negative for a signal; ``None`` while it was still running."""
        self.stderr = stderr
        """What the runtime wrote to its standard error: its beginning and its end where it is more than 20 KiB."""


class RuntimeStartTimeout(RuntimeStartFailed, TimeoutError):
    """The runtime was started, or reached, and was not usable in time."""


class RuntimeIncompatible(RuntimeUnavailable):
    """The runtime speaks a protocol version that this package does not."""

    def __init__(self, found: object, supported: tuple[int, int], runtime_version: str | None) -> None:
        lowest, highest = supported
        span = str(lowest) if lowest == highest else f"{lowest} to {highest}"
        super().__init__(
            f"the runtime (version {runtime_version or 'unknown'}) speaks protocol {found!r}; this missionlink "
            f"speaks {span}: install a matching runtime with 'missionlink runtime install', or upgrade missionlink"
        )
        self.found = found
        """What the runtime named as its protocol version; ``None`` when it named none."""
        self.supported = supported
        """Lowest and highest protocol version that this package speaks."""
        self.runtime_version = runtime_version


class ConnectionFailed(MissionlinkError):
    """The connection to the runtime cannot be used."""


class ConnectionLost(ConnectionFailed):
    """The connection ended without our asking."""

    can_retry = True

    def __init__(self, problem: str, *, exit_code: int | None = None, stderr: str = "") -> None:
        problem = worded(problem, "the connection to the runtime was lost")
        super().__init__(_with_process(problem, exit_code, useful_line(stderr, last=True)))
        self.problem = problem
        """What happened, without what is known of the process."""
        self.exit_code = exit_code
        """Exit status of the runtime's process, negative for a signal; ``None`` if unknown or not a process."""
        self.stderr = stderr
        """The last 16 KiB at most of what the runtime wrote to its standard error."""


class ConnectionClosed(ConnectionFailed):
    """We closed the connection, or it was never started."""


def _with_process(problem: str, exit_code: int | None, stderr_line: str) -> str:
    text = problem
    if exit_code is not None:
        text += f" (killed by signal {-exit_code})" if exit_code < 0 else f" (exit code {exit_code})"
    # One line: the rest is in the attribute.
    return with_reason(f"{text}; its stderr says", stderr_line) if stderr_line else text


class ProtocolError(MissionlinkError):
    """The JSON-RPC protocol was broken."""

    def __init__(self, problem: str, *, session_id: str | None = None) -> None:
        super().__init__(problem)
        self.session_id = session_id
        """The session that the broken message named, if it could be told."""


class RemoteProtocolError(ProtocolError):
    """The runtime broke the protocol in a way that ends the connection."""

    def __init__(self, problem: str, *, offset: int = 0, excerpt: bytes = b"") -> None:
        seen = f"; bytes there: {excerpt!r}" if excerpt else ""
        super().__init__(f"{worded(problem, 'the protocol was broken')} at byte {offset} of the stream{seen}")
        self.offset = offset
        """Count of bytes received before the fault."""
        self.excerpt = excerpt
        """At most 64 bytes from the fault on."""


class LocalProtocolError(ProtocolError):
    """Our side was asked to break the protocol, for example to answer one request twice."""


class UnexpectedResult(ProtocolError):
    """The runtime answered a request with a result that does not have the form that is known for the method."""

    def __init__(self, method: str, raw: bytes, problem: str) -> None:
        why = f" ({said})" if (said := worded(problem, "")) else ""
        super().__init__(
            f"the result of {worded(method, 'a request')} has an unknown form{why}; its JSON is in the attribute 'raw'"
        )
        self.method = method
        self.raw = raw
        """The result's exact JSON; nothing of it is lost."""


class RequestFailed(MissionlinkError):
    """A request to the runtime brought no result."""

    method: str = ""
    """Name of the method that was called."""


class RpcError(RequestFailed):
    """The runtime answered a request with an error."""

    def __init__(self, method: str, code: int, message: str, data: object = None) -> None:
        # Runtimes name the method once more.
        reason = message and message.removeprefix(f"Request {method} failed with message: ")
        super().__init__(with_reason(f"{worded(method, 'the request')} failed with code {code}", reason))
        self.method = method
        self.code = code
        """JSON-RPC error code."""
        self.message = message
        """The runtime's text."""
        self.data = data
        """The error's ``data`` member as plain Python values, or ``None``."""


class AuthenticationFailed(RpcError):
    """The runtime refused the connection token or the user's credentials."""


class UnsupportedByRuntime(RpcError):
    """The connected runtime cannot do what was asked for."""

    def __init__(self, method: str, runtime_version: str | None, *, options: Sequence[str] = ()) -> None:
        version = runtime_version or "of unknown version"
        with_options = f" with {', '.join(options)}" if options else ""
        super().__init__(
            method, -32601, f"runtime {version} does not support {worded(method, 'the request')}{with_options}"
        )
        self.runtime_version = runtime_version
        self.options: tuple[str, ...] = tuple(options)
        """Names of the options that cannot be served; empty when the whole method is unknown."""


class OperationFailed(RequestFailed):
    """The runtime answered a request, and its result says that nothing was done."""

    def __init__(self, method: str, reason: str, result: object) -> None:
        super().__init__(with_reason(f"the runtime did not carry out {worded(method, 'the request')}", reason))
        self.method = method
        self.reason = reason
        """The runtime's text, empty when there was none."""
        self.result = result
        """The whole result as plain Python values."""


class RequestTimeout(RequestFailed, TimeoutError):
    """No answer came within the time allowed; the request may still take effect."""

    can_retry = True

    def __init__(self, method: str, timeout: float, *, session_id: str | None = None) -> None:
        super().__init__(f"{worded(method, 'the request')} was not answered within {timeout:g} s")
        self.method = method
        self.timeout = timeout
        """Seconds that were waited."""
        self.session_id = session_id
        """The session concerned, where it is known."""


class SessionError(MissionlinkError):
    """Something about one session."""

    session_id: str | None = None
    """The session concerned, where it is known."""


class SessionNotFound(SessionError):
    """The runtime knows no session with this id."""

    def __init__(self, session_id: str, detail: str = "") -> None:
        super().__init__(with_reason(f"session {session_id!r} was not found", detail))
        self.session_id: str | None = session_id


class SessionClosed(SessionError):
    """The session was disconnected, deleted or ended, here or by the runtime."""

    def __init__(self, session_id: str, why: str = "it was closed") -> None:
        super().__init__(with_reason(f"session {session_id!r} cannot be used", why))
        self.session_id: str | None = session_id


class SessionIdMismatch(SessionError):
    """The runtime answered with another session id than the one expected, or with one already in use."""

    def __init__(self, expected: str, returned: str, problem: str = "") -> None:
        super().__init__(
            worded(problem, "") or f"session {expected!r} was asked for and the runtime answered with {returned!r}"
        )
        self.session_id: str | None = expected
        self.expected = expected
        self.returned = returned


class SessionAlreadyOpen(SessionIdMismatch):
    """A session with this id is open in this client already; nothing was sent."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            session_id,
            session_id,
            f"session {session_id!r} is open already in this client: use that object, or disconnect it first",
        )


class CloudSessionFailed(SessionError):
    """A cloud session could not be created, resumed or used."""

    def __init__(
        self, problem: str, *, session_id: str | None = None, runtime_text: str = "", code: int | None = None
    ) -> None:
        problem = worded(problem, "the cloud session cannot be used, and the runtime does not say why")
        # Not the next class: where the error is of a second kind too, that one has arguments of its own.
        MissionlinkError.__init__(self, problem + (f" (session {session_id!r})" if session_id else ""))
        self.session_id = session_id
        self.runtime_text = runtime_text
        """The runtime's own text, empty when there was none."""
        self.code = code
        """JSON-RPC error code; ``None`` where the runtime did not answer with an error."""


class CloudPolicyRefused(CloudSessionFailed):
    """Mission Control does not allow this session; a repetition will not help."""


class CloudValidationFailed(CloudSessionFailed):
    """Mission Control or the runtime found the request wrong."""


class CloudUnauthorized(CloudSessionFailed):
    """The token was missing, wrong or without the rights."""


class CloudNotStarted(CloudSessionFailed):
    """The remote worker did not start in time; ``session_id`` can be rescued with ``resume_cloud_session``."""

    can_retry = True


class CloudUnreachable(CloudSessionFailed):
    """Mission Control did not answer, or answered with a server error."""

    can_retry = True


class CloudNotReady(CloudSessionFailed, TimeoutError):
    """The remote worker was not ready in time; nothing was sent to it."""

    can_retry = True


class SessionBusy(SessionError, TimeoutError):
    """The agent works on prompts of others, and would not say which answer is the one to yours; nothing was sent.

    Wait until the session is idle, or stop the agent with ``session.abort()``.
    """

    can_retry = True

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"the agent of session {session_id!r} works on prompts that others have sent, or that were sent before "
            "the session was resumed, and does not say which answer is whose; wait until it is idle, or abort"
        )
        self.session_id: str | None = session_id


class TurnFailed(SessionError):
    """A turn ended with an error of the agent or its model."""

    def __init__(
        self, problem: str, *, session_id: str | None = None, kind: str = "", status_code: int | None = None
    ) -> None:
        super().__init__(worded(problem, _turn_problem(kind, status_code)))
        self.session_id = session_id
        self.kind = kind
        """The runtime's error type, for example ``"query"``, ``"authentication"`` or ``"rate_limit"``."""
        self.status_code = status_code
        """HTTP status of the model's answer, where the runtime names it."""
        self.can_retry: bool = kind == "rate_limit" or status_code in _TRANSIENT or (status_code or 0) >= _SERVER_ERROR


class TurnTimeout(TurnFailed, TimeoutError):
    """The turn did not end within the time allowed."""

    def __init__(self, problem: str, *, session_id: str | None = None, last_event: str = "") -> None:
        super().__init__(worded(problem, "the turn did not end within the time allowed"), session_id=session_id)
        self.last_event = last_event
        """Type of the last event before the limit, for example ``"tool.execution_start"``; empty if none came."""


class OutputInvalid(TurnFailed):
    """The agent's answer is not of the ``output_type`` that was asked for, also after it was asked again."""

    def __init__(self, problem: str, *, session_id: str | None = None, text: str = "") -> None:
        super().__init__(
            with_reason("the answer is not of the output_type", problem), session_id=session_id, kind="output"
        )
        self.problem = problem
        """What is wrong with it."""
        self.text = text
        """The answer as the agent gave it last."""


class ConsumerOverflow(SessionError):
    """A consumer of events with the policy ``"raise"`` fell behind and lost events."""

    def __init__(self, session_id: str, count: int) -> None:
        super().__init__(f"a consumer of session {session_id!r} fell behind; {count} event(s) were not delivered")
        self.session_id: str | None = session_id
        self.count = count
        """How many events were lost."""


def _turn_problem(kind: str, status_code: int | None) -> str:
    """Return what is known of a turn's end where the runtime gives no text."""
    facts = [f"error type {kind!r}"] if kind else []
    facts += [f"status {status_code}"] if status_code is not None else []
    return with_reason("the turn ended with an error of the agent or its model", ", ".join(facts))


class CloudTimeout(CloudSessionFailed, RequestTimeout):
    """The cloud session was not opened in time; if the runtime opens it later, it is ended then."""

    session_id: str | None


class CloudResponseInvalid(CloudSessionFailed, ProtocolError):
    """The response that opens the session cannot be used; the session that it names was ended."""

    session_id: str | None


class CloudIdMismatch(CloudSessionFailed, SessionIdMismatch):
    """The response names a session that is in use here already."""

    session_id: str | None


class CloudSessionNotFound(CloudSessionFailed, SessionNotFound):
    """Mission Control knows no session with this id."""

    session_id: str | None


class CloudUnsupported(CloudSessionFailed, UnsupportedByRuntime):
    """The connected runtime cannot open such a session: see ``options``."""

    code: int
    session_id: str | None


class CloudConnectionLost(CloudSessionFailed, ConnectionLost):
    """The connection to the runtime ended while the session was opened."""

    session_id: str | None


class CloudConnectionClosed(CloudSessionFailed, ConnectionClosed):
    """This program closed the connection while the session was opened."""

    session_id: str | None


class CloudConnectionBroken(CloudSessionFailed, RemoteProtocolError):
    """The runtime broke the protocol while the session was opened, which ended the connection."""

    session_id: str | None


class ScriptMismatch(MissionlinkError, AssertionError):
    """A test double saw something else than its script says; a failure of the test, not of the program."""

    def __init__(self, double: str, faults: Sequence[str], traffic: Sequence[str] = ()) -> None:
        seen = "".join(f"\n    {line}" for line in traffic[-50:])
        listed = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(
            f"{worded(double, 'a test double')} was not used as its script says:{listed}"
            + (f"\n  it saw:{seen}" if seen else "")
        )
        self.double = double
        """Which double complains."""
        self.faults: tuple[str, ...] = tuple(faults)
        """One sentence for each deviation."""


class MissionControlError(MissionlinkError):
    """Our own Mission Control cannot do what was asked of it."""


class MissionControlStartFailed(MissionControlError):
    """Mission Control cannot listen at the address that it was given."""

    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(with_reason(f"Mission Control cannot listen on {host}:{port}", problem))
        self.host = host
        self.port = port


class StoreRefused(MissionControlError):
    """A database cannot be the store of this Mission Control; nothing in it was changed."""

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(with_reason(f"{worded(store, 'the database')} cannot be used", problem))
        self.store = store
        """The file, or the database and its server, without user and password."""


class StoreUnavailable(MissionControlError):
    """The database of a Mission Control does not respond, or cannot take more; the same may succeed later."""

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(with_reason(f"{worded(store, 'the database')} is not available", problem))
        self.store = store
        """The file, or the database and its server, without user and password."""


class TaskRefused(MissionControlError):
    """A task of Mission Control does not allow this, or there is no such task; nothing was changed."""

    def __init__(self, reason: Literal["not_found", "conflict", "full", "invalid"], problem: str) -> None:
        super().__init__(problem)
        self.reason = reason
        """``"not_found"``, ``"conflict"`` (wrong moment), ``"full"`` (a limit is reached) or ``"invalid"``."""
