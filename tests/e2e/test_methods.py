"""Methods on both real runtimes: typed results, failures, and what ``client.compat`` says of them."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, errors
from missionlink.protocol.generated.methods import METHODS
from missionlink.testing import model_server

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

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
    except errors.RequestRejected as error:
        return error


@pytest.mark.parametrize("side", ["client", "session"])
async def test_what_only_looks_answers_typed(
    client: AsyncClient, session: Session, runtime: RealRuntime, side: str
) -> None:
    """E2; that nothing of the results is unknown is judged after each test."""
    methods = looks(client.rpc if side == "client" else session.rpc)
    async with within():
        results = dict(zip(methods, await asyncio.gather(*map(outcome, methods.values())), strict=True))
    refused = {name: result for name, result in results.items() if isinstance(result, errors.RequestRejected)}
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
    lacking = sorted(method for method in METHODS if client.compat.supports(method) is False)
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
    with pytest.raises(errors.RequestRefused, match=r"session\.delete") as refused:
        await client.rpc.session.delete(session_id=NOWHERE)
    assert NOWHERE in refused.value.reason
    assert refused.value.result["success"] is False
    with pytest.raises(errors.RequestRefused, match=r"session\.setForeground"):
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
