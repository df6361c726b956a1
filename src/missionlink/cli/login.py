"""Says what to do where GitHub's models are asked for and no account is logged in."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Protocol, TypeVar

from missionlink.errors import (
    CloudUnauthorized,
    MissionlinkError,
    RpcError,
    TurnFailed,
    TurnTimeout,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

__all__ = ("LoginNeeded", "explained", "explaining", "is_logged_in")

_NO_ACCOUNT = (
    "authentication failed, no GitHub account is logged in, or its token is not accepted: log in with 'copilot login', "
    "set COPILOT_GITHUB_TOKEN, GH_TOKEN or GITHUB_TOKEN to a token, name a model server of your own with "
    "--provider-url, or try a session without an account with --embedded"
)
_NO_KEY = (
    "authentication failed, the model server did not accept the key: name the environment variable that holds it "
    "with --provider-key-env"
)
_STATUSES = (None, 401, 403)
# Runtimes say it in words alone: 1.0.102 gives its error the type "query".
_WORDS = re.compile(r"authenticat|unauthori[sz]ed|credential|oauth|log(ged)? ?in\b|\btoken\b", re.IGNORECASE)


class LoginNeeded(MissionlinkError):
    """What was asked for needs an account or a key that is not there, or is not accepted."""

    def __init__(self, hint: str, runtime_text: str, session_id: str | None = None) -> None:
        super().__init__(f"{hint} (the runtime says: {runtime_text})")
        self.hint = hint
        """What to do."""
        self.session_id = session_id


_Error = TypeVar("_Error", bound=MissionlinkError)


class _Runtime(Protocol):
    async def auth_status(self) -> Mapping[str, object]: ...


def is_logged_in(status: Mapping[str, object]) -> bool:
    """Whether a response to ``auth.getStatus`` names an account."""
    return status.get("isAuthenticated") is True


async def explained(error: _Error, runtime: _Runtime, *, has_provider: bool) -> _Error | LoginNeeded:
    """Return an error that says what to do, where the cause is that nobody is logged in; else the same error.

    Args:
        error: What ended a session or a turn.
        runtime: Where it is asked who is logged in.
        has_provider: Whether the model is one of another server.
    """
    if not _may_be_about_accounts(error):
        return error
    text = getattr(error, "runtime_text", "") or getattr(error, "message", "") or str(error)
    session_id = getattr(error, "session_id", None)
    if has_provider:
        is_refused = getattr(error, "status_code", None) in (401, 403)
        return LoginNeeded(_NO_KEY, text, session_id) if is_refused else error
    try:
        status = await runtime.auth_status()
    except MissionlinkError:
        # The runtime is gone, or does not know the method: then its own words must do.
        return error
    return error if is_logged_in(status) else LoginNeeded(_NO_ACCOUNT, text, session_id)


@contextlib.asynccontextmanager
async def explaining(runtime: _Runtime, *, has_provider: bool) -> AsyncGenerator[None]:
    """Raise errors as ``explained`` returns them."""
    try:
        yield
    except MissionlinkError as error:
        better = await explained(error, runtime, has_provider=has_provider)
        if better is error:
            raise
        raise better from error


def _may_be_about_accounts(error: MissionlinkError) -> bool:
    if isinstance(error, TurnTimeout):
        return False
    if isinstance(error, TurnFailed):
        return error.kind == "authentication" or (
            error.status_code in _STATUSES and _WORDS.search(str(error)) is not None
        )
    if isinstance(error, RpcError):
        return _WORDS.search(str(error)) is not None
    return isinstance(error, CloudUnauthorized)
