"""Errors of a message or a request: the protocol was broken, refused or silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.errors.root import MissionlinkError, with_reason, worded

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "AuthenticationFailed",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestFailed",
    "RequestRefused",
    "RequestRejected",
    "RequestTimeout",
    "UnexpectedResult",
    "UnsupportedByRuntime",
)


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


class RequestRejected(RequestFailed):
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


class AuthenticationFailed(RequestRejected):
    """The runtime refused the connection token or the user's credentials."""


class UnsupportedByRuntime(RequestRejected):
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


class RequestRefused(RequestFailed):
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
