"""Interfaces that handlers are run with: options that hold them, a channel for responses, the senders of prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import contextvars
    import os

    import msgspec

    from missionlink._wire.calls import Call
    from missionlink.handlers.hooks.registration import Hooks

__all__ = ("Function", "HandlerOptions", "RequestHandler", "ResponseChannel", "Senders")

Function = Callable[..., Any]
RequestHandler = Callable[[Mapping[str, Any]], Any]
"""Answers a request of the runtime for which there is no typed handler: takes its parameters, returns its result."""


class HandlerOptions(Protocol):
    """The functions that a session was opened with."""

    @property
    def on_permission(self) -> Function | None: ...  # noqa: D102
    @property
    def permission_timeout(self) -> float | None: ...  # noqa: D102
    @property
    def on_user_input(self) -> Function | None: ...  # noqa: D102
    @property
    def on_elicitation(self) -> Function | None: ...  # noqa: D102
    @property
    def on_exit_plan(self) -> Function | None: ...  # noqa: D102
    @property
    def on_auto_mode_switch(self) -> Function | None: ...  # noqa: D102
    @property
    def tools(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def hooks(self) -> Hooks | None: ...  # noqa: D102
    @property
    def commands(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def transforms(self) -> Mapping[str, Function]: ...  # noqa: D102
    @property
    def on_provider_token(self) -> Function | None: ...  # noqa: D102
    @property
    def working_directory(self) -> str | os.PathLike[str] | None: ...  # noqa: D102
    @property
    def on_request(self) -> Mapping[str, RequestHandler]: ...  # noqa: D102


class ResponseChannel(Protocol):
    """The connection, as far as answers go through it."""

    def send_result(self, call: Call, result: object) -> None:
        """Answer a request."""
        ...

    def send_error(self, call: Call, code: int, text: str) -> None:
        """Answer a request with an error."""
        ...

    async def request(self, method: str, params: object = None, *, timeout: float | None = None) -> msgspec.Raw:
        """Send a request of ours."""
        ...


class Senders(Protocol):
    """The turns of the session."""

    @property
    def context(self) -> contextvars.Context | None:
        """The context of the code that sent the prompt which the agent works on; ``None`` if it is not known."""
        ...

    def context_of_next(self, prompt: str | None) -> contextvars.Context | None:
        """The context of the code that sent the prompt which the agent is about to turn to, by its text if known."""
        ...
