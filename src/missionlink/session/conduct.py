"""How the agent of a session works, and what is asked and noted beside its turns.

Source: ``session.mode.*``, ``session.plan.*``, ``session.ui.ephemeralQuery`` and ``session.log``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from missionlink.errors import InvalidOption, RequestRefused, UnsupportedByRuntime
from missionlink.options.checks import check_content, check_flag, check_positive
from missionlink.protocol.results import read_result

if TYPE_CHECKING:
    from missionlink.session.core import SessionCore

__all__ = ("Conduct", "LogLevel", "SessionMode")

SessionMode = Literal["interactive", "plan", "autopilot"]
LogLevel = Literal["info", "warning", "error"]


class _ModeApplied(msgspec.Struct, rename="camel"):
    mode_applied: bool = True


class _Plan(msgspec.Struct):
    exists: bool = False
    content: str | None = None


class _Aside(msgspec.Struct):
    answer: str


class Conduct:
    """The methods of a session about its agent's ways: mode, plan, side questions, notes."""

    __slots__ = ("_core",)

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    @property
    def id(self) -> str:
        """The session's id; a cloud session's is also the id of its task."""
        return self._core.id

    @property
    def is_cloud(self) -> bool:
        """Whether the agent runs on compute that Mission Control reserved."""
        return self._core.cloud is not None

    async def get_mode(self) -> SessionMode:
        """Return how the agent works: ``"interactive"``, ``"plan"`` (it makes a plan first) or ``"autopilot"``."""
        result = await self._core.call("session.mode.get", {"sessionId": self._core.id})
        mode: SessionMode = read_result("session.mode.get", result, str)
        return mode

    async def set_mode(self, mode: SessionMode) -> None:
        """Change how the agent works, from the next prompt on; ``send(agent_mode=…)`` does it for one prompt.

        Raises:
            InvalidOption: There is no such mode; nothing was sent.
            RequestRefused: The runtime did not change it.
        """
        if mode not in get_args(SessionMode):
            raise InvalidOption("mode", f"{mode!r} is none of {', '.join(get_args(SessionMode))}")
        result = await self._core.call("session.mode.set", {"sessionId": self._core.id, "mode": mode})
        # Older runtimes answer with null.
        is_silent = bytes(result) == b"null"
        applied: _ModeApplied = _ModeApplied() if is_silent else read_result("session.mode.set", result, _ModeApplied)
        if not applied.mode_applied:
            raise RequestRefused("session.mode.set", f"the mode is not {mode!r}", {"modeApplied": False})

    async def read_plan(self) -> str | None:
        """Return the plan that the agent has written, in Markdown; ``None`` if there is none.

        There is never one in a cloud session: the plan stays with the remote agent.
        """
        result = await self._core.call("session.plan.read", {"sessionId": self._core.id})
        plan: _Plan = read_result("session.plan.read", result, _Plan)
        return plan.content if plan.exists else None

    async def write_plan(self, text: str) -> None:
        """Put a plan, in Markdown, in the place of the agent's.

        Raises:
            InvalidOption: The text is none; nothing was sent.
            UnsupportedByRuntime: The session is in the cloud; nothing was sent.
        """
        check_content("text", text, allow_none=False, allow_empty=True)
        self._check_local("session.plan.update")
        await self._core.call("session.plan.update", {"sessionId": self._core.id, "content": text})

    async def ask_aside(self, question: str, *, timeout: float | None = None) -> str:
        """Ask the model a question beside the conversation, and return its answer; also while a turn runs.

        The model knows the conversation and uses no tools. Neither question nor answer becomes part of the history.

        Args:
            question: The text.
            timeout: Seconds; ``None`` for no limit.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
            UnsupportedByRuntime: The session is in the cloud; nothing was sent.
            RequestFailed: The model did not answer.
        """
        check_content("question", question, allow_none=False)
        check_positive("timeout", timeout)
        self._check_local("session.ui.ephemeralQuery")
        params = {"sessionId": self._core.id, "question": question}
        result = await self._core.call("session.ui.ephemeralQuery", params, timeout=timeout)
        aside: _Aside = read_result("session.ui.ephemeralQuery", result, _Aside)
        return aside.answer

    async def log(self, message: str, *, level: LogLevel = "info", ephemeral: bool = False) -> None:
        """Note something among the session's events, for people; the model does not see it.

        Args:
            message: The text.
            level: It comes as ``session.info``, ``session.warning`` or ``session.error``; an error ends no turn.
            ephemeral: Whether the history leaves it out.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
        """
        check_content("message", message, allow_none=False)
        check_flag("ephemeral", ephemeral, allow_none=False)
        if level not in get_args(LogLevel):
            raise InvalidOption("level", f"{level!r} is none of {', '.join(get_args(LogLevel))}")
        params = {"sessionId": self._core.id, "message": message, "level": level, "ephemeral": ephemeral}
        await self._core.call("session.log", params)

    def _check_local(self, method: str) -> None:
        self._core.check_open()
        if self._core.cloud is not None:
            raise UnsupportedByRuntime(method, self._core.link.runtime_version, options=("a cloud session",))
