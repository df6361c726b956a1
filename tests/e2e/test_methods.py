"""Methods on both real runtimes: typed results, failures, and what ``client.compat`` says of them."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, errors
from missionlink.protocol.generated.methods import METHODS
from missionlink.protocol.method_traits import NEEDED_REQUESTS
from missionlink.rpc import TokenAuthInfo, decode_json
from missionlink.testing import model_server

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from missionlink import Session
    from missionlink.protocol.namespace import Namespace

    from .real_runtime import RealRuntime

# Methods that only look, by their names, and need no argument.
LOOKS = re.compile(r"(get|list|read|is|has|tail|discover|snapshot|pending)(_|$)")
# What these ask for belongs to the machine or to a supervising program.
NOT_OURS = re.compile(r"(host|sandbox\.proxy_secret|sandbox\.proxy_ca|managed_settings)\.")
NOWHERE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(runtime.options(tmp_path_factory.mktemp("home"))) as client:
        yield client


@pytest.fixture(scope="module")
async def session(client: AsyncClient) -> AsyncIterator[Session]:
    """A session that has answered one prompt."""
    async with model_server() as model:
        async with client.create_session(provider=model.provider(), model=model.model) as session:
            await session.run("hello", timeout=WAIT_S)
            yield session


def methods_of(namespace: Namespace, *path: str) -> Iterator[tuple[str, Any]]:
    for name in namespace._children:
        yield from methods_of(getattr(namespace, name), *path, name)
    for name, _ in inspect.getmembers(type(namespace), inspect.iscoroutinefunction):
        if not name.startswith("_") and name != "call":
            yield ".".join([*path, name]), getattr(namespace, name)


def looks(namespace: Namespace) -> dict[str, Any]:
    """The methods below a namespace that only look and need no argument."""
    return {
        name: method
        for name, method in methods_of(namespace)
        if LOOKS.match(name.rpartition(".")[2])
        and not NOT_OURS.match(name)
        and all(x.default is not x.empty for x in inspect.signature(method).parameters.values())
    }


async def outcome(method: Any) -> Any:
    """Return the result, or the error that a runtime without credentials answers with."""
    try:
        return await method()
    except errors.RpcError as error:
        return error


@pytest.mark.parametrize("side", ["client", "session"])
async def test_what_only_looks_answers_typed(
    client: AsyncClient, session: Session, runtime: RealRuntime, side: str
) -> None:
    """E2; that nothing of the results is unknown is judged after each test."""
    methods = looks(client.rpc if side == "client" else session.rpc)
    async with within():
        results = dict(zip(methods, await asyncio.gather(*map(outcome, methods.values())), strict=True))
    refused = {name: result for name, result in results.items() if isinstance(result, errors.RpcError)}
    answered = results.keys() - refused.keys()
    namespaces = {name.rpartition(".")[0] for name in answered}
    assert len(namespaces) >= (20 if side == "session" or runtime.is_newer else 9), namespaces
    for name, error in refused.items():
        if isinstance(error, errors.UnsupportedByRuntime):
            assert client.compat.supports(error.method) is False
        else:
            assert re.search(r"[Nn]ot authenticated|trusted|set COPILOT_ALLOW", str(error)), name


async def test_compat_knows_which_methods_a_runtime_has(client: AsyncClient, session: Session) -> None:
    """A runtime answers by its list of methods before it looks at parameters, so that none of these does anything."""
    # Those that offer to serve requests are refused before they are sent.
    asked = METHODS.keys() - NEEDED_REQUESTS.keys()
    lacking = sorted(method for method in asked if client.compat.supports(method) is False)
    assert lacking
    async with within(2 * WAIT_S):
        for method in lacking:
            with pytest.raises(errors.UnsupportedByRuntime) as unsupported:
                await client.rpc.call(method, {"sessionId": session.id})
            assert (unsupported.value.method, unsupported.value.runtime_version) == (method, client.runtime_version)


async def test_a_failure_in_a_result_is_raised_where_it_is_one(
    client: AsyncClient, session: Session, runtime: RealRuntime
) -> None:
    """protocol.md 4.4 and trap 10."""
    with pytest.raises(errors.OperationFailed, match=r"session\.delete") as refused:
        await client.rpc.session.delete(session_id=NOWHERE)
    assert NOWHERE in refused.value.reason
    assert refused.value.result["success"] is False
    with pytest.raises(errors.OperationFailed, match=r"session\.setForeground"):
        await client.rpc.session.set_foreground(session_id=session.id)
    # The older family says that it has ended what was never there.
    gone = client.rpc.call("session.destroy", {"sessionId": NOWHERE})
    assert (await gone)["success"] is not runtime.is_newer


async def test_being_too_late_is_an_answer(session: Session) -> None:
    answer = await session.rpc.tools.handle_pending_tool_call(request_id="nobody-asked", result="too late")
    assert answer.success is False
    permission = await session.rpc.permissions.handle_pending_permission_request(
        request_id="nobody-asked", result={"kind": "approve-once"}
    )
    assert permission.success is False


async def test_a_request_has_a_limit_and_a_person_has_none(client: AsyncClient, session: Session) -> None:
    assert client.pid is not None
    os.kill(client.pid, signal.SIGSTOP)
    try:
        with pytest.raises(errors.RequestTimeout) as late:
            await session.rpc.model.get_current(timeout=0.1)
    finally:
        os.kill(client.pid, signal.SIGCONT)
    assert late.value.method == "session.model.getCurrent"
    assert (await session.rpc.model.get_current(timeout=None)).model_id


_SHOP = """
import json, sys
TOOL = {
    "name": "order", "title": "Order it", "description": "d", "annotations": {"readOnlyHint": True},
    "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
}
for line in sys.stdin:
    heard = json.loads(line)
    if "id" in heard:
        result = {"tools": [TOOL]} if heard["method"] == "tools/list" else {}
        if heard["method"] == "initialize":
            info = {"name": "shop", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
        print(json.dumps({"jsonrpc": "2.0", "id": heard["id"], "result": result}), flush=True)
"""


async def test_the_tools_of_an_mcp_server_come_with_their_schemas(
    client: AsyncClient, runtime: RealRuntime, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(_SHOP)
    shop = {"type": "local", "command": sys.executable, "args": [str(tmp_path / "shop.py")], "tools": ["*"]}
    async with model_server() as model, within():
        options: Any = {"provider": model.provider(), "model": model.model, "mcp_servers": {"shop": shop}}
        async with client.create_session(**options) as session:
            await session.run("hello")
            listed = await session.rpc.mcp.list_tools(server_name="shop")
    (tool,) = listed.tools
    assert (tool.name, tool.description) == ("order", "d")
    assert decode_json(listed.raw) == listed.to_dict()
    # The older family passes on nothing else.
    if runtime.is_newer:
        assert tool.title == "Order it"
        assert decode_json(tool.input_schema or b"")["properties"] == {"n": {"type": "integer"}}
        assert decode_json(tool.annotations or b"") == {"readOnlyHint": True}


async def test_a_login_by_token_is_typed(runtime: RealRuntime, tmp_path: Path) -> None:
    async with model_server() as model:
        options = runtime.options(tmp_path, env=model.environment(), github_token="gho_nobody")
        async with AsyncClient(options) as client, within():
            if not runtime.is_newer:
                with pytest.raises(errors.UnsupportedByRuntime):
                    await client.rpc.account.get_current_auth()
                return
            found = (await client.rpc.account.get_current_auth()).auth_info
    assert isinstance(found, TokenAuthInfo)
    assert found.copilot_user is not None


async def test_a_queued_command_says_whether_it_was_queued(session: Session) -> None:
    async with within():
        assert isinstance((await session.rpc.commands.enqueue(command="/nothing")).queued, bool)
