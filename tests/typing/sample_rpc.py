"""What type checkers and editors know of methods. Checked by test_inference.py, never run."""

from __future__ import annotations

from typing import Any, assert_type

from missionlink.events import Event
from missionlink.rpc import (
    AttachmentFile,
    Caller,
    ClientRpc,
    CurrentModel,
    ModelList,
    ModelSwitchToResult,
    PermissionDecisionApproveOnce,
    SessionFsReadFileParams,
    SessionMode,
    SessionRpc,
    TasksRemoveResult,
)


async def methods(client: ClientRpc, session: SessionRpc) -> None:
    assert_type(await client.models.list(), ModelList)
    assert_type(await session.model.get_current(), CurrentModel)
    assert_type(await session.model.switch_to(model_id="m", reasoning_effort=None, timeout=5), ModelSwitchToResult)
    assert_type(await session.mode.get(), SessionMode)
    assert_type(await session.tasks.remove(id="t"), TasksRemoveResult)
    assert_type((await session.get_messages()).events, list[Event])
    await session.send(prompt="p", attachments=[AttachmentFile(path="/a", display_name="a")], mode="enqueue")
    # Values that a newer runtime knows are taken too.
    await session.send(prompt="p", mode="telepathy")
    decision = PermissionDecisionApproveOnce()
    answer = await session.permissions.handle_pending_permission_request(request_id="r", result=decision)
    assert_type(answer.success, bool)
    assert_type(await client.call("any.method", {"a": 1}), Any)


async def mistakes(session: SessionRpc) -> None:
    await session.model.switch_to()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await session.model.switch_to(model_id=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await session.modle.get()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def seams(caller: Caller, params: SessionFsReadFileParams) -> SessionRpc:
    assert_type(params.path, str)
    return SessionRpc(caller, {"sessionId": params.session_id})
