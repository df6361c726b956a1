"""Mission Control against web pages, slow clients and clients without end."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from missionlink.errors import InvalidOption, TaskRefused
from missionlink.mission_control import ClaimedTask, Limits, MissionControl, SeenRequest, serve
from missionlink.mission_control.state import CLOSING_TYPES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

WAIT_S = 240.0
AUTHORIZED = {"authorization": "Bearer any"}
JSON = {"content-type": "application/json"}
ENDPOINTS = [
    ("GET", "/copilot_internal/user"),
    ("GET", "/models"),
    ("POST", "/agents/tasks"),
    ("GET", "/agents/tasks"),
    ("GET", "/agents/tasks/{task}"),
    ("GET", "/agents/tasks/{task}/events"),
    ("POST", "/agents/tasks/{task}/steer"),
    ("POST", "/agents/tasks/{task}/rpc"),
    ("GET", "/agents/tasks/{task}/rpc/x"),
    ("GET", "/nothing"),
]


class Mute:
    """A worker that takes nothing."""

    async def run(self, task: ClaimedTask) -> None:
        await task.start({})
        await asyncio.Event().wait()


def address(control: MissionControl) -> tuple[str, int]:
    host, port = control.url.removeprefix("http://").rsplit(":", 1)
    return host.strip("[]"), int(port)


async def raw(control: MissionControl, *lines: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Send a request as it is written, on a connection of its own; return status and JSON of the reply."""
    reader, writer = await asyncio.open_connection(*address(control))
    try:
        writer.write("\r\n".join((*lines, "connection: close", "", "")).encode() + body)
        return await reply_on(reader)
    finally:
        writer.close()


async def reply_on(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    async with asyncio.timeout(WAIT_S):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body or b"{}")


@asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[tuple[MissionControl, httpx2.AsyncClient]]:
    async with serve(**options) as control, httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) as http:
        yield control, http


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def control() -> AsyncIterator[MissionControl]:
    async with serve() as control:
        yield control


@pytest.fixture(scope="module")
async def task_id(control: MissionControl) -> str:
    async with httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) as http:
        return (await http.post("/agents/tasks", json={})).json()["id"]


# Web pages.


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_a_name_that_is_not_this_machine_is_refused(
    control: MissionControl, task_id: str, method: str, path: str
) -> None:
    """DNS rebinding: the browser sends the name of the page."""
    port = address(control)[1]
    line = f"{method} {path.format(task=task_id)} HTTP/1.1"
    for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", f"localhost.evil:{port}"):
        status, reply = await raw(control, line, f"host: {host}", "authorization: Bearer any")
        assert (status, "Host" in reply["message"]) == (403, True), (host, reply)
        assert "evil" not in json.dumps(reply)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}", "127.0.0.2:{port}"]
)
async def test_the_names_of_this_machine_are_accepted(control: MissionControl, host: str) -> None:
    given = host.format(port=address(control)[1])
    lines = ("GET /copilot_internal/user HTTP/1.1", f"host: {given}", "authorization: Bearer any")
    status, user = await raw(control, *lines)
    assert (status, user["endpoints"]["api"]) == (200, f"http://{given}")


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1/x", "a@127.0.0.1", "127.0.0.1 x", "[::1"]
)
async def test_what_is_no_host_is_refused(control: MissionControl, host: str) -> None:
    status, reply = await raw(control, "GET /models HTTP/1.1", f"host: {host}", "authorization: Bearer any")
    assert (status, bool(reply["message"])) == (400, True)


async def test_a_request_without_a_host_is_refused(control: MissionControl) -> None:
    for version in ("1.0", "1.1"):
        status, reply = await raw(control, f"GET /models HTTP/{version}", "authorization: Bearer any")
        assert (status, bool(reply["message"])) == (400, True)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://127.0.0.1:1", "http://localhost", "https://evil.example:{port}", "x"],
)
async def test_a_page_of_another_origin_is_refused(control: MissionControl, origin: str) -> None:
    port = address(control)[1]
    for method, path in (("POST", "/agents/tasks"), ("GET", "/agents/tasks"), ("POST", "/telemetry")):
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"origin: {origin.format(port=port)}"]
        status, reply = await raw(control, *lines, "authorization: Bearer any")
        assert (status, "page" in reply["message"]) == (403, True)
        status, _ = await raw(control, *lines[:2], "sec-fetch-site: cross-site", "authorization: Bearer any")
        assert status == 403


async def test_a_page_of_this_server_is_no_other_origin(control: MissionControl) -> None:
    lines = ["GET /models HTTP/1.1", f"host: {control.url.removeprefix('http://')}", f"origin: {control.url}"]
    assert await raw(control, *lines, "authorization: Bearer any") == (200, {"data": []})


@pytest.mark.parametrize("token", [None, "right"])
async def test_a_browser_is_never_told_that_it_may_send_more(token: str | None) -> None:
    async with serve(token=token) as control:
        lines = ["OPTIONS /agents/tasks HTTP/1.1", f"host: {control.url.removeprefix('http://')}"]
        status, _ = await raw(
            control, *lines, "origin: https://evil.example", "access-control-request-method: POST",
        )  # fmt: skip
        assert status == 403
        async with httpx2.AsyncClient(base_url=control.url) as http:
            reply = await http.options("/agents/tasks", headers={"authorization": "Bearer right"})
            assert reply.status_code == 405
            assert not any(name.startswith("access-control") for name in reply.headers)


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_each_request_needs_an_authorization_also_without_a_token(
    control: MissionControl, task_id: str, method: str, path: str
) -> None:
    async with httpx2.AsyncClient(base_url=control.url) as http:
        for given in (None, "", "Bearer", "Basic YTpi", "any"):
            headers = {} if given is None else {"authorization": given}
            reply = await http.request(method, path.format(task=task_id), headers=headers)
            assert (reply.status_code, "Authorization" in reply.json()["message"]) == (401, True)
            assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("kind", [None, "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"])
async def test_a_body_needs_the_content_type_of_json(control: MissionControl, task_id: str, kind: str | None) -> None:
    async with httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) as http:
        before = len(await control.tasks.all())
        for path in ("/agents/tasks", f"/agents/tasks/{task_id}/steer", f"/agents/tasks/{task_id}/rpc"):
            headers = {} if kind is None else {"content-type": kind}
            reply = await http.post(path, content=b"{}", headers=headers)
            assert (reply.status_code, "application/json" in reply.json()["message"]) == (415, True)
        assert len(await control.tasks.all()) == before
        for known in ("application/json", "application/json; charset=utf-8", "application/json, application/json"):
            reply = await http.post(f"/agents/tasks/{task_id}/steer", content=b"{}", headers={"content-type": known})
            assert reply.status_code == 422


async def test_telemetry_of_runtimes_carries_no_authorization(control: MissionControl) -> None:
    async with httpx2.AsyncClient(base_url=control.url) as http:
        reply = await http.post("/telemetry", content=b"{}\n", headers={"content-type": "application/x-json-stream"})
    assert reply.status_code == 204


async def test_a_server_with_a_token_may_have_any_name_and_reflects_only_what_is_one() -> None:
    async with serve(token="right") as control:
        for host, shown in (
            ("control.example:8080", "http://control.example:8080"),
            ("ok.example", "http://ok.example"),
        ):
            lines = ("GET /copilot_internal/user HTTP/1.1", f"host: {host}", "authorization: token right")
            status, user = await raw(control, *lines)
            assert (status, user["endpoints"]["api"]) == (200, shown)
        for host in ('x"onload=', "x/../y", "x\u202e", "x y"):
            status, _ = await raw(
                control, "GET /copilot_internal/user HTTP/1.1", f"host: {host}", "authorization: token right"
            )
            assert status == 400


# Texts.


async def test_names_that_steer_a_terminal_are_refused(control: MissionControl) -> None:
    async with httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) as http:
        for name in ("a\x1b[2J", "a\u202eb", "a\nb", "", "x" * 300):
            for repository in ({"owner": name, "name": "n"}, {"owner": "o", "name": name}):
                reply = await http.post("/agents/tasks", json={"repositories": [repository]})
                assert reply.status_code == 422
                assert len(reply.text) < 500
                assert "\u202e" not in reply.text
                assert "\x1b" not in reply.text


async def test_long_texts_are_refused_and_not_repeated(control: MissionControl, task_id: str) -> None:
    long = "x" * 10_000
    async with httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) as http:
        replies = [
            await http.post(f"/agents/tasks/{task_id}/steer", json={"type": long, "content": "x"}),
            await http.post(f"/agents/tasks/{task_id}/rpc", json={"rpc_method": long}),
            await http.post("/agents/tasks", json={"repositories": [{"owner": "o", "name": "n"}] * 1_000}),
            await http.get(f"/agents/tasks/{long}"),
            await http.get(f"/agents/tasks/{task_id}/rpc/{long}"),
            await http.get(f"/agents/tasks?per_page={long}"),
            await http.get(f"/{long}"),
        ]
    assert [reply.status_code for reply in replies] == [422, 422, 422, 404, 404, 422, 404]
    assert max(len(reply.content) for reply in replies) < 500


async def test_a_path_is_reported_as_it_was_sent() -> None:
    """What it decodes to might clear the screen, or turn the reading order."""
    seen: list[SeenRequest] = []
    async with running(on_request=seen.append) as (_, http):
        for path in ("/agents/%1B%5B2Jx", "/agents/%E2%80%AEx", "/agents/tasks/%0d%0ax/events", "/plain"):
            reply = await http.get(path)
            assert (reply.status_code, reply.text.isprintable()) == (404, True)
    assert [request.path for request in seen] == [
        "/agents/%1B%5B2Jx", "/agents/%E2%80%AEx", "/agents/tasks/%0d%0ax/events", "/plain",
    ]  # fmt: skip


SECRET = "s3cret-of-this-test"


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        f"{SECRET}\n",
        f" {SECRET}",
        f"{SECRET} x",
        f"{SECRET}\t",
        f"{SECRET}\x00",
        f"{SECRET}é",
        f"{SECRET}\u202e",
    ],
)
async def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        async with serve(token=token):
            pass
    assert caught.value.option == "token"
    assert SECRET not in str(caught.value)


# Time.


async def test_a_head_that_does_not_come_whole_is_given_up() -> None:
    async with running(limits=Limits(head_timeout_s=0.1)) as (control, http):
        for begun in (b"", b"GET /models HT", b"GET /models HTTP/1.1\r\nhost: x\r\n"):
            reader, writer = await asyncio.open_connection(*address(control))
            writer.write(begun)
            status, reply = await reply_on(reader)
            assert (status, "head" in reply["message"]) == (408, True)
            writer.close()
        assert (await http.get("/models")).status_code == 200


async def test_a_head_that_drips_is_given_up_too() -> None:
    """Also the second one of a connection, behind a whole request."""
    async with running(limits=Limits(head_timeout_s=0.2)) as (control, _):
        host = control.url.removeprefix("http://")
        whole = f"GET /models HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer any\r\n\r\n".encode()
        for first in (b"", whole):
            reader, writer = await asyncio.open_connection(*address(control))
            writer.write(first)
            if first:
                await reader.readuntil(b'{"data":[]}')

            async def drip(writer: asyncio.StreamWriter = writer) -> None:
                while not writer.is_closing():
                    writer.write(b"x")
                    await asyncio.sleep(0.01)

            dripping = asyncio.create_task(drip())
            status, _ = await reply_on(reader)
            writer.close()
            await dripping
            assert status == 408


@pytest.mark.parametrize("path", ["/agents/tasks", "/telemetry", "/nothing"])
async def test_a_body_that_does_not_come_whole_is_given_up(path: str) -> None:
    async with running(limits=Limits(body_timeout_s=0.1)) as (control, http):
        reader, writer = await asyncio.open_connection(*address(control))
        lines = [f"POST {path} HTTP/1.1", f"host: {control.url.removeprefix('http://')}", "authorization: Bearer any"]
        writer.write("\r\n".join((*lines, "content-type: application/json", "content-length: 99", "", "{")).encode())
        async with asyncio.timeout(WAIT_S):
            answer = await reader.read()
        writer.close()
        # What needs no body was answered before.
        assert answer.startswith(
            {"/agents/tasks": b"HTTP/1.1 408", "/telemetry": b"HTTP/1.1 204"}.get(path, b"HTTP/1.1 404")
        )
        assert answer.count(b"HTTP/1.1") == 1
        assert await control.tasks.all() == []
        assert (await http.get("/models")).status_code == 200


async def test_idle_connections_are_kept() -> None:
    """Runtimes keep theirs for 90 s, and lose a prompt if the server closes one first."""
    async with running(limits=Limits(head_timeout_s=0.05, body_timeout_s=0.05)) as (control, _):
        reader, writer = await asyncio.open_connection(*address(control))
        request = (
            f"GET /models HTTP/1.1\r\nhost: {control.url.removeprefix('http://')}\r\nauthorization: Bearer x\r\n\r\n"
        )
        for _ in range(3):
            writer.write(request.encode())
            async with asyncio.timeout(WAIT_S):
                assert await reader.readuntil(b'{"data":[]}')
            # Longer than either time that is allowed for a request.
            await asyncio.sleep(0.2)
        writer.close()


async def test_a_response_that_nobody_takes_is_cut_off() -> None:
    async with running(worker=Mute(), limits=Limits(send_timeout_s=0.1)) as (control, http):
        task_id = (await http.post("/agents/tasks", json={})).json()["id"]
        await control.tasks.until(task_id, lambda task: "session.start" in task.event_types)
        for _ in range(8):
            await control.publish(task_id, "session.info", {"message": "x" * 2_000_000})
        reader, writer = await asyncio.open_connection(*address(control))
        host = control.url.removeprefix("http://")
        writer.write(
            f"GET /agents/tasks/{task_id}/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer x\r\n\r\n".encode()
        )
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(WAIT_S):
            try:
                taken = len(await reader.read())
            except ConnectionError:
                taken = 0
        writer.close()
        assert taken < 16_000_000


# Numbers.


async def test_many_half_open_connections_keep_nobody_out() -> None:
    async with running(limits=Limits(max_incomplete_connections=5, max_connections=20)) as (control, http):
        half_open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(50):
            reader, writer = await asyncio.open_connection(*address(control))
            writer.write(b"GET /models HTTP/1.1\r\n")
            half_open.append((reader, writer))
            assert (await http.get("/models")).status_code == 200
        closed = [await reply_on(reader) for reader, _ in half_open[:40]]
        assert {status for status, _ in closed} == {408}
        for _, writer in half_open:
            writer.close()


async def test_a_connection_too_many_is_refused_in_words() -> None:
    limits = Limits(max_connections=3)
    async with serve(limits=limits) as control:
        clients = [httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) for _ in range(3)]
        for http in clients:
            assert (await http.get("/models")).status_code == 200
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*address(control))
            status, reply = await reply_on(reader)
            assert (status, "connections" in reply["message"]) == (503, True)
            writer.close()
        for http in clients:
            assert (await http.get("/models")).status_code == 200
        await clients.pop().aclose()
        async with asyncio.timeout(WAIT_S):
            while True:
                async with httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) as http:
                    if (await http.get("/models")).status_code == 200:
                        break
        for http in clients:
            await http.aclose()


async def test_what_is_not_http_is_answered_in_json(control: MissionControl) -> None:
    reader, writer = await asyncio.open_connection(*address(control))
    writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
    status, reply = await reply_on(reader)
    writer.close()
    assert (status, bool(reply["message"])) == (400, True)


async def test_bodies_that_are_received_are_bounded_together() -> None:
    async with running(limits=Limits(max_receiving_bytes=5_000)) as (control, http):
        writers: list[asyncio.StreamWriter] = []
        for _ in range(4):
            _, writer = await asyncio.open_connection(*address(control))
            host = control.url.removeprefix("http://")
            lines = ["POST /agents/tasks HTTP/1.1", f"host: {host}", "authorization: Bearer any"]
            lines += ["content-type: application/json", "content-length: 2000", "", " " * 1_500]
            writer.write("\r\n".join(lines).encode())
            await writer.drain()
            writers.append(writer)
        status = 0
        async with asyncio.timeout(WAIT_S):
            while status != 503:
                status = (await http.post("/agents/tasks", content=b" " * 2_000 + b"{}", headers=JSON)).status_code
        for writer in writers:
            writer.close()
        async with asyncio.timeout(WAIT_S):
            while status != 201:
                status = (await http.post("/agents/tasks", content=b" " * 2_000 + b"{}", headers=JSON)).status_code


# Bytes.


async def test_what_a_task_holds_is_bounded() -> None:
    async with running(worker=Mute(), limits=Limits(max_task_bytes=100_000)) as (control, http):
        task_id = (await http.post("/agents/tasks", json={})).json()["id"]
        await control.tasks.until(task_id, lambda task: "session.start" in task.event_types)
        statuses = [
            (await http.post(f"/agents/tasks/{task_id}/{kind}", json=body)).status_code
            for _ in range(10)
            for kind, body in (
                ("steer", {"type": "user_message", "content": "x" * 10_000}),
                ("rpc", {"rpc_method": "m", "params": {"x": "y" * 10_000}}),
            )
        ]
        assert statuses.count(202) == 9
        assert statuses[9:] == [429] * 11
        with pytest.raises(TaskRefused, match="bytes") as refused:
            await control.publish(task_id, "session.info", {"message": "x" * 20_000})
        assert refused.value.reason == "full"
        # Why it ends can be said nevertheless.
        for kind in sorted(CLOSING_TYPES):
            await control.publish(task_id, kind, {"message": "x" * 20_000})


async def test_what_all_tasks_hold_is_bounded() -> None:
    async with running(worker=Mute(), limits=Limits(max_total_bytes=200_000)) as (control, http):
        prompt = {"type": "user_message", "content": "x" * 90_000}
        steers: list[str] = []
        for _ in range(3):
            task_id = (await http.post("/agents/tasks", json={})).json()["id"]
            await control.tasks.until(task_id, lambda task: "session.start" in task.event_types)
            steers.append(f"/agents/tasks/{task_id}/steer")
            assert (await http.post(steers[-1], json=prompt)).status_code == 202
        for path in (*steers, "/agents/tasks"):
            reply = await http.post(path, json=prompt)
            assert (reply.status_code, "max_total_bytes" in reply.json()["message"]) == (429, True)


async def test_finished_tasks_make_room_for_new_ones() -> None:
    async with running(limits=Limits(max_total_bytes=200_000)) as (control, http):
        for _ in range(10):
            task_id = (await http.post("/agents/tasks", json={})).json()["id"]
            await control.tasks.until(task_id, lambda task: "session.info" in task.event_types)
            body = {"type": "user_message", "content": "x" * 20_000}
            assert (await http.post(f"/agents/tasks/{task_id}/steer", json=body)).status_code == 202
            await control.tasks.until(task_id, lambda task: "session.idle" in task.event_types)
            body = {"type": "user_message", "content": "/quit"}
            assert (await http.post(f"/agents/tasks/{task_id}/steer", json=body)).status_code == 202
            await control.tasks.until(task_id, lambda task: task.state == "completed")
        assert 1 <= len(await control.tasks.all()) < 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_connections": 0},
        {"head_timeout_s": -1},
        {"max_events": 1.5},
        {"body_timeout_s": None},
        {"max_task_bytes": "1"},
    ],
)
def test_a_limit_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as caught:
        Limits(**wrong)
    assert caught.value.option in wrong
