"""The runtime's methods in blocking form: ``client.rpc`` and ``session.rpc``.

Each name leads to the asynchronous namespace of the same name; ``rpc.pyi`` lists them all for type checkers.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from missionlink.options.hiding import HiddenCall
from missionlink.protocol.namespace import Namespace

if TYPE_CHECKING:
    from missionlink.blocking.portal import Portal

__all__ = ("ClientRpc", "SessionRpc")


class _Methods:
    """A namespace whose methods wait for their results."""

    def __init__(self, portal: Portal, inner: Namespace) -> None:
        self._portal = portal
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found: Any = getattr(self._inner, name)
        if isinstance(found, Namespace):
            return _Methods(self._portal, found)
        if not inspect.iscoroutinefunction(found):
            return found
        run = self._portal.run

        @functools.wraps(found)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            work = HiddenCall(found, args, kwargs)
            # Error services show what the frames of an error hold, and this one waits.
            del args, kwargs
            return run(work)

        return blocking

    def __repr__(self) -> str:
        return f"<blocking {type(self._inner).__name__}>"

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._inner) if not name.startswith("_")]


class ClientRpc(_Methods):
    """The methods of the runtime, by namespace, and ``call(method, params)`` for all of them."""


class SessionRpc(_Methods):
    """The methods about one session, by namespace; ``sessionId`` is added."""
