"""Another set of tools for a session under way.

Source: ``session.tools.set`` (runtimes from 1.0.81 on).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missionlink.errors import UnsupportedByRuntime
from missionlink.handlers.tools import Tool, tools_by_name
from missionlink.options.encode import with_own_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from missionlink.session.core import SessionCore

__all__ = ("replace_tools",)

_METHOD = "session.tools.set"


async def replace_tools(core: SessionCore, tools: Sequence[Tool[..., Any] | Callable[..., Any]]) -> None:
    """Give the agent these tools in place of those that the session has of this program."""
    named = tools_by_name("tools", tools)
    core.check_open()
    if core.cloud is not None:
        raise UnsupportedByRuntime(_METHOD, core.link.runtime_version, options=("tools",))
    runner = core.handlers.events.tools
    before = runner.tools
    available = core.options.available_tools
    if available is not None:
        # Else the runtime would keep the new ones from the agent.
        names = with_own_tools(available, (*core.options.tools, *named.values()))
        await core.call("session.options.update", {"sessionId": core.id, "availableTools": names})
    # Calls of a new tool may come before the answer, calls of an old one until then.
    runner.tools = {**before, **named}
    try:
        await core.call(_METHOD, {"sessionId": core.id, "tools": [tool.to_wire() for tool in named.values()]})
    except BaseException:
        runner.tools = before
        raise
    runner.tools = named
