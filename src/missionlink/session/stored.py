"""Removing what a storage of the program holds of a session: the runtime knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.errors import SessionNotFound
from missionlink.storage.paths import SessionPaths

if TYPE_CHECKING:
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.storage import SessionFS

__all__ = ("remove_stored",)


async def remove_stored(pool: HandlerPool, storage: SessionFS, session_id: str, *, missing_ok: bool = False) -> None:
    """Remove the files of a session.

    Raises:
        SessionNotFound: There are none, and ``missing_ok`` is not set.
        OSError: The storage failed.
    """
    folder = SessionPaths(session_id).session
    try:
        await pool.call_with(storage.remove, (folder,), {"recursive": True})
    except FileNotFoundError as error:
        if not missing_ok:
            raise SessionNotFound(session_id, "the storage has no such session") from error
