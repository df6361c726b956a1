"""The end of a session together with what the runtime has stored of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from missionlink.lifecycle import check_deleted

if TYPE_CHECKING:
    from missionlink.session.core import SessionCore

__all__ = ("delete",)


async def delete(core: SessionCore) -> None:
    """Leave a session and remove what is stored of it.

    A task of its own does it, since leaving cancels a handler of the session that asks for it.
    """
    core.link.connection.check_loop()
    await asyncio.shield(core.link.tasks.start(_leave_and_delete(core), logged=False))


async def _leave_and_delete(core: SessionCore) -> None:
    await core.leave("session.destroy", "it was deleted")
    if core.storage is not None:
        from missionlink.session.stored import remove_stored

        await remove_stored(core.link.pool, core.storage, core.id)
    elif core.cloud is None:
        check_deleted(core.id, await core.link.call("session.delete", {"sessionId": core.id}))
