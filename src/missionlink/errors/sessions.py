"""Errors of one session, its turns and its consumers."""

from __future__ import annotations

from missionlink.errors.root import MissionlinkError, with_reason, worded

__all__ = (
    "CloudNotAuthorised",
    "CloudNotReady",
    "CloudNotStarted",
    "CloudPolicyRefused",
    "CloudSessionFailed",
    "CloudUnreachable",
    "CloudValidationFailed",
    "ConsumerOverflow",
    "OutputInvalid",
    "SessionAlreadyOpen",
    "SessionBusy",
    "SessionClosed",
    "SessionError",
    "SessionIdMismatch",
    "SessionNotFound",
    "TurnFailed",
    "TurnTimeout",
)


# Statuses of a model that may answer later: it took too long, or was asked too often.
_PASSING = (408, 429)
_SERVER_ERROR = 500


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
        self.can_retry: bool = kind == "rate_limit" or status_code in _PASSING or (status_code or 0) >= _SERVER_ERROR


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
