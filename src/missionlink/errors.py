"""Every error that missionlink raises, in one tree.

The branches follow what a caller does next: mend the call, mend the machine, reconnect, retry or give up.

    MissionlinkError
    ├─ InvalidOption (also ValueError)
    ├─ MissingExtra (also ImportError)
    ├─ RuntimeUnavailable
    │  ├─ RuntimeNotFound
    │  ├─ RuntimeInstallFailed
    │  ├─ RuntimeStartFailed
    │  └─ RuntimeIncompatible
    ├─ ConnectionFailed
    │  ├─ ConnectionLost
    │  └─ ConnectionClosed
    ├─ ProtocolError
    │  ├─ RemoteProtocolError
    │  ├─ LocalProtocolError
    │  └─ UnexpectedResult
    ├─ RequestFailed
    │  ├─ RequestRejected
    │  │  ├─ AuthenticationFailed
    │  │  └─ UnsupportedByRuntime
    │  ├─ RequestRefused
    │  └─ RequestTimeout (also TimeoutError)
    ├─ SessionError
    │  ├─ SessionNotFound
    │  ├─ SessionClosed
    │  ├─ SessionIdMismatch
    │  ├─ CloudSessionFailed
    │  │  ├─ CloudPolicyRefused
    │  │  ├─ CloudValidationFailed
    │  │  ├─ CloudNotAuthorised
    │  │  ├─ CloudNotStarted
    │  │  ├─ CloudUnreachable
    │  │  └─ CloudNotReady (also TimeoutError)
    │  ├─ TurnFailed
    │  │  ├─ TurnAborted
    │  │  └─ TurnTimeout (also TimeoutError)
    │  └─ ConsumerOverflow
    ├─ HandlerFailed
    ├─ MissionControlError
    │  ├─ MissionControlStartFailed
    │  └─ TaskRefused
    └─ ScriptMismatch (also AssertionError)

Each error keeps its facts in attributes, says what to do in its text, and survives ``copy`` and ``pickle``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "AuthenticationFailed",
    "CloudNotAuthorised",
    "CloudNotReady",
    "CloudNotStarted",
    "CloudPolicyRefused",
    "CloudSessionFailed",
    "CloudUnreachable",
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
    "ProtocolError",
    "RemoteProtocolError",
    "RequestFailed",
    "RequestRefused",
    "RequestRejected",
    "RequestTimeout",
    "RuntimeIncompatible",
    "RuntimeInstallFailed",
    "RuntimeNotFound",
    "RuntimeStartFailed",
    "RuntimeUnavailable",
    "ScriptMismatch",
    "SessionClosed",
    "SessionError",
    "SessionIdMismatch",
    "SessionNotFound",
    "TaskRefused",
    "TurnAborted",
    "TurnFailed",
    "TurnTimeout",
    "UnexpectedResult",
    "UnsupportedByRuntime",
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


class RuntimeUnavailable(MissionlinkError):
    """There is no runtime program that can be used."""


class RuntimeNotFound(RuntimeUnavailable):
    """No runtime program was found in any of the places that were searched."""

    def __init__(self, tried: Sequence[tuple[str, str]]) -> None:
        lines = "".join(f"\n  {place}: {why}" for place, why in tried)
        super().__init__(
            f"no agent runtime was found; install it with 'missionlink runtime install'. Looked at:{lines}"
        )
        self.tried = tuple(tried)
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
        self.can_retry = reason == "network"


class RuntimeStartFailed(RuntimeUnavailable):
    """The runtime was started and did not become usable."""

    def __init__(self, problem: str, *, exit_code: int | None = None, stderr: str = "") -> None:
        super().__init__(_with_process(problem, exit_code, stderr))
        self.exit_code = exit_code
        """Exit status of the process, negative for a signal; ``None`` while it was still running."""
        self.stderr = stderr
        """The last part of what the runtime wrote to its standard error."""


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
        super().__init__(_with_process(problem, exit_code, stderr))
        self.exit_code = exit_code
        """Exit status of the runtime's process, negative for a signal; ``None`` if unknown or not a process."""
        self.stderr = stderr
        """The last 16 KiB at most of what the runtime wrote to its standard error."""


class ConnectionClosed(ConnectionFailed):
    """We closed the connection, or it was never started."""


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
        super().__init__(f"{problem} at byte {offset} of the stream{seen}")
        self.offset = offset
        """Count of bytes received before the fault."""
        self.excerpt = excerpt
        """At most 64 bytes from the fault on."""


class LocalProtocolError(ProtocolError):
    """Our side was asked to break the protocol, for example to answer one request twice."""


class UnexpectedResult(ProtocolError):
    """The runtime answered a request with a result that does not have the form that is known for the method."""

    def __init__(self, method: str, raw: bytes, problem: str) -> None:
        super().__init__(f"the result of {method} has an unknown form ({problem}); its JSON is in the attribute 'raw'")
        self.method = method
        self.raw = raw
        """The result's exact JSON; nothing of it is lost."""


class RequestFailed(MissionlinkError):
    """A request to the runtime brought no result."""

    method: str = ""
    """Name of the method that was called."""


class RequestRejected(RequestFailed):
    """The runtime answered a request with an error."""

    def __init__(self, method: str, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{method} failed with code {code}: {message}")
        self.method = method
        self.code = code
        """JSON-RPC error code."""
        self.message = message
        """The runtime's text."""
        self.data = data
        """The error's ``data`` member as plain Python values, or ``None``."""


class AuthenticationFailed(RequestRejected):
    """The runtime refused the connection token or the user's credentials."""


class UnsupportedByRuntime(RequestRejected):
    """The connected runtime cannot do what was asked for."""

    def __init__(self, method: str, runtime_version: str | None, *, options: Sequence[str] = ()) -> None:
        version = runtime_version or "of unknown version"
        with_options = f" with {', '.join(options)}" if options else ""
        super().__init__(method, -32601, f"runtime {version} does not support {method}{with_options}")
        self.runtime_version = runtime_version
        self.options = tuple(options)
        """Names of the options that cannot be served; empty when the whole method is unknown."""


class RequestRefused(RequestFailed):
    """The runtime answered a request, and its result says that nothing was done."""

    def __init__(self, method: str, reason: str, result: object) -> None:
        super().__init__(f"the runtime did not carry out {method}" + (f": {reason}" if reason else ""))
        self.method = method
        self.reason = reason
        """The runtime's text, empty when there was none."""
        self.result = result
        """The whole result as plain Python values."""


class RequestTimeout(RequestFailed, TimeoutError):
    """No answer came within the time allowed; the request may still take effect."""

    can_retry = True

    def __init__(self, method: str, timeout: float, *, session_id: str | None = None) -> None:
        super().__init__(f"{method} was not answered within {timeout:g} s")
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
        super().__init__(f"session {session_id!r} was not found" + (f": {detail}" if detail else ""))
        self.session_id = session_id


class SessionClosed(SessionError):
    """The session was disconnected, deleted or ended, here or by the runtime."""

    def __init__(self, session_id: str, why: str = "it was closed") -> None:
        super().__init__(f"session {session_id!r} cannot be used: {why}")
        self.session_id = session_id


class SessionIdMismatch(SessionError):
    """The runtime answered with another session id than the one expected, or with one already in use."""

    def __init__(self, expected: str, returned: str, problem: str = "") -> None:
        super().__init__(problem or f"session {expected!r} was asked for and the runtime answered with {returned!r}")
        self.session_id = expected
        self.expected = expected
        self.returned = returned


class CloudSessionFailed(SessionError):
    """A cloud session could not be created, resumed or used."""

    def __init__(self, problem: str, *, session_id: str | None = None, runtime_text: str = "") -> None:
        super().__init__(problem + (f" (session {session_id!r})" if session_id else ""))
        self.session_id = session_id
        self.runtime_text = runtime_text
        """The runtime's own text, empty when there was none."""


class CloudPolicyRefused(CloudSessionFailed):
    """Mission Control does not allow this session; a repetition will not help."""


class CloudValidationFailed(CloudSessionFailed):
    """Mission Control or the runtime found the request wrong."""


class CloudNotAuthorised(CloudSessionFailed):
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


class TurnFailed(SessionError):
    """A turn ended with an error of the agent or its model."""

    def __init__(
        self, problem: str, *, session_id: str | None = None, kind: str = "", status_code: int | None = None
    ) -> None:
        super().__init__(problem)
        self.session_id = session_id
        self.kind = kind
        """The runtime's error type, for example ``"query"`` or ``"authentication"``."""
        self.status_code = status_code
        """HTTP status of the model's answer, where the runtime names it."""


class TurnAborted(TurnFailed):
    """The turn was aborted before it had an answer."""


class TurnTimeout(TurnFailed, TimeoutError):
    """The turn did not end within the time allowed."""


class ConsumerOverflow(SessionError):
    """A consumer of events with the policy ``"raise"`` fell behind and lost events."""

    def __init__(self, session_id: str, count: int) -> None:
        super().__init__(f"a consumer of session {session_id!r} fell behind; {count} event(s) were not delivered")
        self.session_id = session_id
        self.count = count
        """How many events were lost."""


class HandlerFailed(MissionlinkError):
    """A handler of the program raised or returned what cannot be sent; ``__cause__`` is its exception."""

    def __init__(self, what: str, session_id: str | None = None) -> None:
        super().__init__(f"the handler for {what} failed" + (f" in session {session_id!r}" if session_id else ""))
        self.what = what
        self.session_id = session_id


class ScriptMismatch(MissionlinkError, AssertionError):
    """A test double saw something else than its script says; a failure of the test, not of the program."""

    def __init__(self, double: str, faults: Sequence[str], traffic: Sequence[str] = ()) -> None:
        seen = "".join(f"\n    {line}" for line in traffic[-50:])
        listed = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"{double} was not used as its script says:{listed}" + (f"\n  it saw:{seen}" if seen else ""))
        self.double = double
        """Which double complains."""
        self.faults = tuple(faults)
        """One sentence for each deviation."""


class MissionControlError(MissionlinkError):
    """Our own Mission Control cannot do what was asked of it."""


class MissionControlStartFailed(MissionControlError):
    """Mission Control cannot listen at the address that it was given."""

    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(f"Mission Control cannot listen on {host}:{port}: {problem}")
        self.host = host
        self.port = port


class TaskRefused(MissionControlError):
    """A task of Mission Control does not allow this, or there is no such task; nothing was changed."""

    def __init__(self, reason: Literal["not_found", "conflict", "full", "invalid"], problem: str) -> None:
        super().__init__(problem)
        self.reason = reason
        """``"not_found"``, ``"conflict"`` (wrong moment), ``"full"`` (a limit is reached) or ``"invalid"``."""


def _with_process(problem: str, exit_code: int | None, stderr: str) -> str:
    text = problem
    if exit_code is not None:
        text += f" (killed by signal {-exit_code})" if exit_code < 0 else f" (exit code {exit_code})"
    if stderr.strip():
        # The whole tail is in the attribute; a message stays readable with the last lines.
        text += "; last lines of its stderr: " + " | ".join(stderr.strip().splitlines()[-3:])[-500:]
    return text
