"""What type checkers and editors know of a session's options. Checked by test_inference.py, never run."""

from __future__ import annotations

from typing import assert_type

from missionlink import Allow, AsyncClient, Client, Decision, Deny, PermissionRequest, Session, SessionOptions
from missionlink._client.lifecycle import SessionInfo


def decide(request: PermissionRequest) -> Decision:
    return Allow.once() if request.kind == "read" else Deny("no")


async def ask(request: PermissionRequest) -> Decision:
    return decide(request)


async def opened(client: AsyncClient) -> None:
    assert_type(await client.create_session(model="a", on_permission=decide, streaming=True), Session)
    async with client.create_cloud_session("octo/hello", on_permission=ask, on_event=print) as session:
        assert_type(session, Session)
    assert_type(await client.list_sessions(branch="main"), list[SessionInfo])
    await client.resume_session("a", SessionOptions().replace(model="b"), available_tools=["view"])


async def mistakes(client: AsyncClient, blocking: Client) -> None:
    await client.create_session(modle="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.create_session(streaming="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.create_cloud_session(on_permission=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.resume_session("a", sesion="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.list_sessions(brunch="main")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    blocking.create_session(modle="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SessionOptions().replace(modle="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
