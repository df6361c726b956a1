"""The runtime asks, the program's functions answer: always, once, and safely (contracts P8, P13, C6, E6, G1, G2)."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from missionlink.errors import HandlerFailed
from missionlink.handlers.commands import CommandCall
from missionlink.handlers.invoke import nonblocking
from missionlink.handlers.permissions.policy import Permissions
from missionlink.handlers.permissions.requests import Allow, Decision, Deny, PermissionRequest
from missionlink.handlers.tools.tool import ToolError
from missionlink.handlers.user_requests import (
    AutoModeSwitch,
    ElicitationRequest,
    ElicitationResult,
    ExitPlanRequest,
    ExitPlanResponse,
    UserInputRequest,
    UserInputResponse,
)

from .raw_peer import PATIENCE_S, Peer, event, open_client, open_session, request, rounds, until, within

PERMISSION_REPLY = "session.permissions.handlePendingPermissionRequest"
SECRET = "s3cr3t-value"

LEGAL_IDS = [b"0", b"-1", b'""', b'"abc"', b"1.5", b"9007199254740993", b'"\\u00e9\\n"', b"1e2", b'"1"']

FAILURES = [
    ValueError(SECRET),
    SystemExit(3),
    asyncio.CancelledError(SECRET),
    GeneratorExit(),
    StopIteration(SECRET),
    RecursionError(),
    TimeoutError(),
    StopAsyncIteration(),
]


def _deep(levels: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    return circle


UNSENDABLE: list[Callable[[], object]] = [
    lambda: {"a": object()},
    lambda: {(1, 2): 3},
    lambda: _deep(100_000),
    _circle,
    lambda: float,
    lambda: (one for one in ()),
]


def _failing(error: BaseException, kind: str) -> Callable[[Any], Any]:
    """A function of each kind that raises."""

    def plain(asked: Any) -> Any:
        raise error

    async def coroutine(asked: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    if kind == "quick":
        return nonblocking(plain)
    return plain if kind == "plain" else coroutine


kinds = pytest.mark.parametrize("kind", ["coroutine", "plain", "quick"])
failures = pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)


def _returning(result: Callable[[], object], kind: str) -> Callable[[Any], Any]:
    async def coroutine(asked: Any) -> Any:
        return result()

    if kind == "quick":
        return nonblocking(lambda asked: result())
    return (lambda asked: result()) if kind == "plain" else coroutine


def _ask_permission(peer: Peer, request_id: object = "r1", **members: Any) -> None:
    asked = {"kind": "shell", "fullCommandText": "rm -r x", "intention": "tidy up", "toolCallId": "t", **members}
    peer.event("s", "permission.requested", {"requestId": request_id, "permissionRequest": asked})


async def _decision(peer: Peer, number: int = 0) -> dict[str, Any]:
    """The decision that was sent; it is confirmed."""
    sent = await peer.request(PERMISSION_REPLY, number)
    peer.answer(sent, {"success": True})
    assert sent["params"]["sessionId"] == "s"
    return sent["params"]["result"]


def _user_input(identity: Any = 1, **members: Any) -> dict[str, Any]:
    return request(identity, "userInput.request", {"sessionId": "s", "question": "?", **members})


# Permissions.


async def test_without_a_handler_everything_is_denied_and_that_is_said_once(caplog: pytest.LogCaptureFixture):
    """G1."""
    async with open_session() as (_, peer):
        with caplog.at_level(logging.WARNING, "missionlink"):
            for number in range(3):
                _ask_permission(peer, f"r{number}")
                decision = await _decision(peer, number)
                assert decision["kind"] == "reject"
                assert decision["feedback"], "a refusal without a reason would end the whole run"
        warnings = [record for record in caplog.records if "on_permission" in record.getMessage()]
        assert len(warnings) == 1


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (True, {"kind": "approve-once"}),
        (Allow.once(), {"kind": "approve-once"}),
        # Runtimes of 1.0.60 fail a call that is allowed for the session without saying what.
        (Allow.for_session(), {"kind": "approve-once"}),
        (Allow.for_session({"kind": "commands"}), {"kind": "approve-for-session", "approval": {"kind": "commands"}}),
        (Allow.for_location("k", {"a": 1}), {"kind": "approve-for-location", "approval": {"a": 1}, "locationKey": "k"}),
        (Allow.permanently("x.test"), {"kind": "approve-permanently", "domain": "x.test"}),
        (Deny("not that"), {"kind": "reject", "feedback": "not that"}),
        (Deny.and_stop(), {"kind": "reject"}),
        (Deny.unavailable(), {"kind": "user-not-available"}),
    ],
)
@kinds
async def test_a_decision_is_sent_as_the_protocol_wants_it(answer: object, sent: dict[str, Any], kind: str):
    """P13: in the present tense, from every kind of function."""
    async with open_session(on_permission=_returning(lambda: answer, kind)) as (_, peer):
        _ask_permission(peer)
        assert await _decision(peer) == sent


async def test_the_handler_learns_what_the_agent_wants():
    asked: list[PermissionRequest] = []

    async def decide(one: PermissionRequest) -> bool:
        asked.append(one)
        return False

    async with open_session(on_permission=decide) as (_, peer):
        _ask_permission(peer, brandNew=[1])
        assert (await _decision(peer))["kind"] == "reject"
        (one,) = asked
        assert (one.request_id, one.session_id, one.kind) == ("r1", "s", "shell")
        assert (one.command, one.intention, one.tool_call_id) == ("rm -r x", "tidy up", "t")
        assert one.details["brandNew"] == [1]
        assert "rm -r" not in repr(one)


@failures
@kinds
async def test_a_permission_handler_that_raises_anything_denies(error: BaseException, kind: str):
    """G1, P8: nobody has rejected anything; the failure is reported with its cause, but not sent."""
    reported: list[HandlerFailed] = []
    async with open_session({"on_error": reported.append}, on_permission=_failing(error, kind)) as (_, peer):
        _ask_permission(peer)
        decision = await _decision(peer)
        assert decision["kind"] == "user-not-available"
        assert SECRET not in json.dumps(decision)
        await until(lambda: reported)
        assert reported[0].session_id == "s"
        _ask_permission(peer, "r2")
        assert (await _decision(peer, 1))["kind"] == "user-not-available"


@pytest.mark.parametrize("answer", [None, "yes", 1, {"kind": "approve-once"}, [True]])
@kinds
async def test_a_permission_handler_that_returns_something_else_denies(answer: object, kind: str):
    """G1: the past-tense kinds would break the tool call later."""
    async with open_session(on_permission=_returning(lambda: answer, kind)) as (_, peer):
        _ask_permission(peer)
        assert (await _decision(peer))["kind"] == "user-not-available"


@pytest.mark.parametrize("make", UNSENDABLE[:6], ids=range(6))
async def test_a_decision_that_json_cannot_carry_denies(make: Callable[[], object]):
    """G1, P8: an answer goes out whatever the program put into it."""
    reported: list[HandlerFailed] = []
    options = {"on_permission": lambda asked: Decision("approve-for-session", details={"approval": make()})}
    async with open_session({"on_error": reported.append}, **options) as (_, peer):
        _ask_permission(peer)
        assert (await _decision(peer))["kind"] == "user-not-available"
        await until(lambda: reported)


async def test_an_unset_detail_of_a_decision_cannot_change_its_kind():
    """G1: details are the program's, the kind is the decision."""
    options = {"on_permission": lambda asked: Decision("reject", "no", details={"kind": "approve-once"})}
    async with open_session(**options) as (_, peer):
        _ask_permission(peer)
        assert (await _decision(peer))["kind"] == "reject"


@kinds
async def test_a_slow_permission_handler_denies(kind: str):
    """G1: one that runs over its time limit."""
    release = threading.Event()

    async def coroutine(asked: object) -> bool:
        await asyncio.Event().wait()
        return True

    def plain(asked: object) -> bool:
        return release.wait(PATIENCE_S)

    function: Any = plain if kind == "plain" else coroutine
    if kind == "quick":
        function = nonblocking(coroutine)
    try:
        async with open_session(on_permission=function, permission_timeout=0.02) as (_, peer):
            _ask_permission(peer)
            decision = await _decision(peer)
            assert decision["kind"] == "user-not-available"
            release.set()
            await peer.settled()
            assert len(peer.requests(PERMISSION_REPLY)) == 1, "the late answer is dropped"
    finally:
        release.set()


@pytest.mark.parametrize("end", ["time limit", "disconnect", "answered elsewhere"])
async def test_a_permission_handler_that_holds_its_end_back_decides_nothing(end: str):
    """G1: what it says after its time is not heard."""
    started = asyncio.Event()

    async def stubborn(asked: object) -> bool:
        try:
            started.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return True
        return False

    limit = 0.02 if end == "time limit" else None
    async with open_session(on_permission=stubborn, permission_timeout=limit) as (session, peer):
        _ask_permission(peer)
        await within(started.wait())
        if end == "time limit":
            assert (await _decision(peer))["kind"] == "user-not-available"
            return
        if end == "disconnect":
            peer.on["session.destroy"] = lambda params: {"success": True}
            await within(session.disconnect())
        else:
            peer.event("s", "permission.completed", {"requestId": "r1", "result": {"kind": "denied-by-rules"}})
        await rounds()
        assert peer.requests(PERMISSION_REPLY) == []


async def test_a_function_in_a_thread_that_raises_a_keyboard_interrupt_denies():
    """G1: no key was pressed there; as it is, it would end the program's event loop."""

    def decide(asked: object) -> bool:
        raise KeyboardInterrupt

    failures: list[BaseException] = []
    async with open_session({"on_error": failures.append}, on_permission=decide) as (_, peer):
        _ask_permission(peer)
        assert (await _decision(peer))["kind"] == "user-not-available"
        assert [type(one) for one in failures] == [HandlerFailed]


async def test_relative_paths_count_from_where_the_runtime_was_started(tmp_path: Path):
    """G1: the agent works there when the session does not say otherwise."""
    (tmp_path / "there" / "sub").mkdir(parents=True)
    here = os.getcwd()
    for given, allowed, is_allowed in [
        ({}, here, False),
        ({}, tmp_path / "there", True),
        ({"working_directory": "sub"}, tmp_path / "there" / "sub", True),
        ({"working_directory": here}, here, True),
        ({"working_directory": here}, tmp_path, False),
    ]:
        options = {"working_directory": tmp_path / "there"}
        policy = Permissions.allow(read=[allowed])
        async with open_session(options, on_permission=policy, **given) as (_, peer):
            _ask_permission(peer, kind="read", path="x")
            assert ((await _decision(peer))["kind"] == "approve-once") is is_allowed


async def test_a_permission_that_a_hook_has_answered_is_not_answered_again():
    """P8: once."""
    asked: list[object] = []

    async def decide(one: object) -> bool:
        asked.append(one)
        return True

    async with open_session(on_permission=decide) as (_, peer):
        data = {"requestId": "r", "permissionRequest": {"kind": "shell"}, "resolvedByHook": True}
        peer.event("s", "permission.requested", data)
        await peer.settled()
        assert asked == []
        assert peer.requests(PERMISSION_REPLY) == []


@pytest.mark.parametrize(
    "data", [{}, {"requestId": None}, {"requestId": 5}, {"permissionRequest": {}}, {"requestId": []}]
)
async def test_a_permission_without_a_usable_id_harms_nobody(data: dict[str, Any]):
    """E1: there is nothing to answer to."""
    async with open_session(on_permission=lambda asked: True) as (session, peer):
        stream = session.events()
        peer.event("s", "permission.requested", data)
        _ask_permission(peer)
        assert (await _decision(peer))["kind"] == "approve-once"
        assert len(peer.requests(PERMISSION_REPLY)) == 1
        assert (await within(anext(stream))).type == "permission.requested"


async def test_a_handler_is_stopped_when_its_question_is_answered_elsewhere():
    """P8: once, by whoever is first."""
    started, stopped = asyncio.Event(), asyncio.Event()

    async def decide(one: object) -> bool:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return True

    async with open_session(on_permission=decide) as (_, peer):
        _ask_permission(peer)
        await within(started.wait())
        peer.event("s", "permission.completed", {"requestId": "other"})
        await peer.settled()
        assert not stopped.is_set()
        peer.event("s", "permission.completed", {"requestId": "r1", "result": {"kind": "approved"}})
        await within(stopped.wait())
        await peer.settled()
        assert peer.requests(PERMISSION_REPLY) == []


async def test_many_permissions_are_decided_side_by_side():
    """P6: one that waits for a person does not hold the others up."""
    all_there = asyncio.Barrier(20)

    async def decide(one: object) -> bool:
        await all_there.wait()
        return True

    async with open_session(on_permission=decide) as (_, peer):
        for number in range(20):
            _ask_permission(peer, f"r{number}")
        answered: set[str] = set()
        for number in range(20):
            await _decision(peer, number)
            answered.add(peer.requests(PERMISSION_REPLY)[number]["params"]["requestId"])
        assert len(answered) == 20


async def test_an_answer_that_the_runtime_does_not_take_harms_nobody():
    async with open_session(on_permission=lambda asked: True) as (_, peer):
        _ask_permission(peer)
        peer.refuse(await peer.request(PERMISSION_REPLY), -32603, "no pending request")
        _ask_permission(peer, "r2")
        assert (await _decision(peer, 1))["kind"] == "approve-once"


# Requests.


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        ("free", {"answer": "free", "wasFreeform": True}),
        ("a", {"answer": "a", "wasFreeform": False}),
        (UserInputResponse("b"), {"answer": "b", "wasFreeform": False}),
        (UserInputResponse("x", was_freeform=True), {"answer": "x", "wasFreeform": True}),
        ("", {"answer": "", "wasFreeform": True}),
    ],
)
@kinds
async def test_a_question_is_answered(answer: object, sent: dict[str, Any], kind: str):
    """P13."""
    async with open_session(on_user_input=_returning(lambda: answer, kind)) as (_, peer):
        peer.send(_user_input(7, choices=["a", "b"]))
        assert (await peer.response(7))["result"] == sent


@pytest.mark.parametrize(
    ("method", "option", "answer", "sent"),
    [
        ("exitPlanMode.request", "on_exit_plan", True, {"approved": True, "selectedAction": "autopilot"}),
        ("exitPlanMode.request", "on_exit_plan", False, {"approved": False}),
        (
            "exitPlanMode.request",
            "on_exit_plan",
            ExitPlanResponse(False, feedback="no"),
            {"approved": False, "feedback": "no"},
        ),
        ("autoModeSwitch.request", "on_auto_mode_switch", True, {"response": "yes"}),
        ("autoModeSwitch.request", "on_auto_mode_switch", "yes_always", {"response": "yes_always"}),
        ("a.b", "on_request", {"x": [1]}, {"x": [1]}),
        ("a.b", "on_request", None, None),
    ],
)
async def test_other_questions_are_answered(method: str, option: str, answer: object, sent: object):
    """P13."""
    function: Any = lambda asked: answer  # noqa: E731
    options = {option: {"a.b": function} if option == "on_request" else function}
    async with open_session(**options) as (_, peer):
        params = {"sessionId": "s", "recommendedAction": "autopilot"}
        assert (await peer.asked(method, params))["result"] == sent


@pytest.mark.parametrize(
    ("method", "code", "result"),
    [
        ("userInput.request", -32601, None),
        ("exitPlanMode.request", None, {"approved": False}),
        ("autoModeSwitch.request", None, {"response": "no"}),
        ("hooks.invoke", None, {}),
        ("sessionFs.readFile", -32601, None),
        ("brand.new", -32601, None),
    ],
)
async def test_without_a_handler_there_is_an_answer_all_the_same(method: str, code: int | None, result: object):
    """P8: the protocol's "not available", else method not found."""
    async with open_session() as (_, peer):
        answer = await peer.asked(method, {"sessionId": "s"})
        if code is None:
            assert answer["result"] == result
        else:
            assert answer["error"]["code"] == code


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("userInput.request", {"sessionId": "unknown"}, -32602),
        ("userInput.request", {}, -32602),
        ("userInput.request", None, -32602),
        ("userInput.request", [], -32602),
        ("userInput.request", {"sessionId": 5}, -32602),
        ("sessionFs.readFile", {}, -32602),
        ("hooks.invoke", {}, -32602),
        ("brand.new", {}, -32601),
        ("brand.new", None, -32601),
        ("gitHubToken.getToken", {"sessionId": "s"}, -32601),
    ],
)
async def test_a_request_that_belongs_to_nobody_is_answered(method: str, params: Any, code: int):
    """P8."""
    async with open_session() as (_, peer):
        assert (await peer.asked(method, params))["error"]["code"] == code


@failures
@kinds
async def test_a_handler_that_raises_anything_is_answered_with_a_safe_text(error: BaseException, kind: str):
    """P8, G2: the exception goes to the log and to the error hook, not to the runtime."""
    reported: list[HandlerFailed] = []
    options: dict[str, Any] = {"on_user_input": _failing(error, kind), "on_request": {"a.b": _failing(error, kind)}}
    async with open_session({"on_error": reported.append}, **options) as (_, peer):
        for method in ("userInput.request", "a.b"):
            answer = await peer.asked(method, {"sessionId": "s"})
            assert answer["error"]["code"] == -32603
            assert SECRET not in answer["error"]["message"]
        await until(lambda: len(reported) == 2)
        assert reported[0].__cause__ is not None
        assert [one.what for one in reported] == ["userInput.request", "a.b"]
        await peer.settled()


@pytest.mark.parametrize("make", UNSENDABLE, ids=range(len(UNSENDABLE)))
@kinds
async def test_a_result_that_json_cannot_carry_is_answered_with_an_error(make: Callable[[], object], kind: str):
    """P8."""
    reported: list[HandlerFailed] = []
    async with open_session({"on_error": reported.append}, on_request={"a.b": _returning(make, kind)}) as (_, peer):
        assert (await peer.asked("a.b", {"sessionId": "s"}))["error"]["code"] == -32603
        await until(lambda: reported)
        await peer.settled()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("userInput.request", {"on_user_input": lambda asked: UserInputResponse(object())}),
        ("exitPlanMode.request", {"on_exit_plan": lambda asked: ExitPlanResponse(True, feedback=object())}),
        ("exitPlanMode.request", {"on_exit_plan": lambda asked: "yes"}),
        ("autoModeSwitch.request", {"on_auto_mode_switch": lambda asked: "maybe"}),
    ],
)
async def test_an_answer_of_our_own_types_that_cannot_be_sent_is_an_error_too(method: str, options: dict[str, Any]):
    """P8."""
    async with open_session(**options) as (_, peer):
        assert (await peer.asked(method, {"sessionId": "s"}))["error"]["code"] == -32603


async def test_a_number_that_is_none_does_not_break_the_answer():
    """P8: NaN and infinities have no JSON; what goes out is JSON all the same."""
    async with open_session(on_request={"a.b": lambda params: [float("nan"), float("inf")]}) as (_, peer):
        answer = await peer.asked("a.b", {"sessionId": "s"})
        assert "error" in answer or answer["result"] == [None, None]


@pytest.mark.parametrize("params", [["s"], {"sessionId": "s", "question": 5}, {"sessionId": "s", "choices": "a"}])
@kinds
async def test_parameters_that_cannot_be_read_are_answered_as_such(params: Any, kind: str):
    """P8: -32602, and the program's function is not called."""
    called: list[object] = []

    async with open_session(on_user_input=_returning(lambda: called.append(1) or "x", kind)) as (_, peer):
        assert (await peer.asked("userInput.request", params))["error"]["code"] == -32602
        assert called == []


@pytest.mark.parametrize("identity", LEGAL_IDS)
async def test_ids_of_every_legal_kind_come_back_as_they_were(identity: bytes):
    """P8, reliability 2."""
    async with open_session(on_user_input=lambda asked: "a") as (_, peer):
        for method, session_id in (("userInput.request", "s"), ("userInput.request", "unknown"), ("brand.new", "s")):
            count = len(peer.bodies)
            body = b'{"jsonrpc":"2.0","id":%b,"method":"%b","params":{"sessionId":"%b"}}'
            peer.send_body(body % (identity, method.encode(), session_id.encode()))
            await until(lambda count=count: len(peer.bodies) > count)
            assert b'"id":%b,' % identity in peer.bodies[-1]


async def test_requests_with_the_same_id_in_flight_are_answered_one_each():
    """P8, reliability 2."""
    gates = {name: asyncio.Event() for name in "abc"}

    async def answer(asked: UserInputRequest) -> str:
        await gates[asked.question].wait()
        return asked.question

    async with open_session(on_user_input=answer) as (_, peer):
        for name in "abc":
            peer.send(_user_input(5, question=name))
        await peer.settled()
        for name in "cab":
            gates[name].set()
            await until(lambda name=name: any(one["result"]["answer"] == name for one in peer.responses(5)))
        assert [one["result"]["answer"] for one in peer.responses(5)] == list("cab")


# How functions are called.


async def test_a_plain_function_runs_in_a_thread_of_ours_and_the_loop_goes_on():
    """reliability 12: a sync handler may block; the default thread pool is not used."""
    release = threading.Event()
    threads: list[str] = []

    def block(asked: object) -> str:
        threads.append(threading.current_thread().name)
        assert release.wait(PATIENCE_S)
        return "done"

    try:
        async with open_session(on_user_input=block) as (session, peer):
            peer.send(_user_input(1))
            await until(lambda: threads)
            stream = session.events()
            peer.event("s", "n")
            assert (await within(anext(stream))).type == "n"
            assert peer.responses(1) == []
            release.set()
            assert (await peer.response(1))["result"]["answer"] == "done"
            assert threads[0].startswith("missionlink-handler")
    finally:
        release.set()


async def test_no_more_plain_functions_run_at_once_than_there_are_threads():
    """reliability 10: the rest waits for its turn, and all are answered."""
    lock = threading.Lock()
    running = highest = 0
    release = threading.Semaphore(0)

    def count(asked: object) -> str:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        assert release.acquire(timeout=PATIENCE_S)
        with lock:
            running -= 1
        return "x"

    async with open_session({"handler_threads": 3}, on_user_input=count) as (_, peer):
        for number in range(10):
            peer.send(_user_input(number))
        await until(lambda: running == 3)
        await peer.settled()
        release.release(10)
        for number in range(10):
            await peer.response(number)
        assert highest == 3


async def test_a_quick_function_runs_in_the_event_loop():
    threads: list[threading.Thread] = []

    @nonblocking
    def quick(asked: object) -> str:
        threads.append(threading.current_thread())
        return "x"

    async with open_session(on_user_input=quick) as (_, peer):
        peer.send(_user_input(1))
        await peer.response(1)
        assert threads == [threading.current_thread()]


async def test_functions_of_every_make_are_called_rightly():
    """E3: method, async __call__, partial, lambda round a coroutine function, quick coroutine function."""

    class Answering:
        async def method(self, asked: UserInputRequest) -> str:
            await asyncio.sleep(0)
            return "method"

        async def __call__(self, asked: UserInputRequest) -> str:
            await asyncio.sleep(0)
            return "call"

    async def partial(word: str, asked: UserInputRequest) -> str:
        await asyncio.sleep(0)
        return word

    one = Answering()
    functions: dict[str, Any] = {
        "method": one.method,
        "call": one,
        "partial": functools.partial(partial, "partial"),
        "lambda": lambda asked: partial("lambda", asked),
        "quick": nonblocking(functools.partial(partial, "quick")),
    }
    for word, function in functions.items():
        async with open_session(on_user_input=function) as (_, peer):
            peer.send(_user_input(1))
            assert (await peer.response(1))["result"]["answer"] == word


# Cancellation and the end.


async def test_a_cancelled_request_is_answered_so_and_its_handler_stopped():
    """C6."""
    started, stopped = asyncio.Event(), asyncio.Event()

    async def wait(asked: object) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "x"

    reported: list[HandlerFailed] = []
    async with open_session({"on_error": reported.append}, on_user_input=wait) as (_, peer):
        peer.send(_user_input(5))
        await within(started.wait())
        peer.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
        assert (await peer.response(5))["error"]["code"] == -32800
        await within(stopped.wait())
        await peer.settled()
        assert len(peer.responses(5)) == 1
        assert reported == [], "being cancelled is no failure of the program"


async def test_the_late_answer_of_a_function_that_cannot_be_stopped_is_dropped():
    """C6: a thread goes on to its end."""
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def block(asked: object) -> str:
        started.set()
        release.wait(PATIENCE_S)
        ended.set()
        return "late"

    async with open_session(on_user_input=block) as (_, peer):
        peer.send(_user_input(5))
        await until(started.is_set)
        peer.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
        assert (await peer.response(5))["error"]["code"] == -32800
        release.set()
        await until(ended.is_set)
        await peer.settled()
        assert len(peer.responses(5)) == 1


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_handler_that_answers_although_it_was_cancelled_is_not_heard(stubborn: bool):
    """C6: it may swallow the cancellation."""
    started = asyncio.Event()

    async def wait(asked: object) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if stubborn:
                await asyncio.sleep(0)
        return "after all"

    async with open_session(on_user_input=wait) as (_, peer):
        peer.send(_user_input(5))
        await within(started.wait())
        peer.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
        await peer.response(5)
        await peer.settled()
        assert [one["error"]["code"] for one in peer.responses(5)] == [-32800]


@pytest.mark.parametrize("way", ["disconnect", "delete", "close"])
async def test_what_is_open_at_the_end_of_a_session_is_answered_and_its_handlers_stopped(way: str):
    """P8: the handler that runs, and what has not been handed on yet."""
    started, stopped = asyncio.Event(), asyncio.Event()

    async def wait(asked: object) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "x"

    async with open_client() as (client, peer):
        peer.on["session.delete"] = lambda params: {"success": True}
        session = await within(client.create_session(session_id="s", on_user_input=wait))
        peer.send(_user_input(1))
        await within(started.wait())
        await within(getattr(session, way)() if way != "close" else client.close())
        assert (await peer.response(1))["error"]["code"] == -32603
        await within(stopped.wait())


async def test_a_request_behind_the_answer_to_a_goodbye_is_answered():
    """P8: it finds no session any more."""
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s", on_user_input=lambda asked: "x"))
        peer.on["session.detach"] = lambda params: ...
        leaving = asyncio.ensure_future(session.disconnect())
        goodbye = await peer.request("session.detach")
        peer.send(
            {"jsonrpc": "2.0", "id": goodbye["id"], "result": {}}, _user_input(1), event("s", "n"), _user_input(2)
        )
        for identity in (1, 2):
            answer = await peer.response(identity)
            assert answer.get("error", {}).get("code") in (-32603, -32602)
        await within(leaving)


async def test_a_lost_connection_stops_every_handler():
    """C2."""
    running: set[str] = set()

    async def wait(asked: Any) -> Any:
        name = type(asked).__name__
        running.add(name)
        try:
            await asyncio.Event().wait()
        finally:
            running.discard(name)

    async with open_session(on_user_input=wait, on_permission=wait, on_elicitation=wait) as (_, peer):
        peer.send(_user_input(1))
        _ask_permission(peer)
        peer.event("s", "elicitation.requested", {"requestId": "e1", "message": "?"})
        await until(lambda: len(running) == 3)
        await peer.end.close()
        await until(lambda: not running)


# Any call may be made from a handler.


async def test_a_handler_may_call_the_runtime():
    """E6, reliability 13."""
    async with open_client() as (client, peer):
        peer.on["models.list"] = lambda params: {"models": []}
        peer.on["session.send"] = lambda params: {"messageId": "m"}
        peer.on["session.abort"] = lambda params: {"success": True}

        async def answer(asked: UserInputRequest) -> str:
            await client.rpc.call("models.list")
            turn = await session.send("more")
            await turn.cancel()
            session.on(lambda one: None).close()
            session.events().close()
            return turn.id

        session = await within(client.create_session(session_id="s", on_user_input=answer))
        peer.send(_user_input(1))
        assert (await peer.response(1))["result"]["answer"] == "m"


@pytest.mark.parametrize("way", ["disconnect", "close"])
async def test_a_handler_may_end_its_session_and_its_client(way: str):
    """E6, reliability 13: its own request is answered, and nobody hangs."""
    async with open_client() as (client, peer):

        async def answer(asked: UserInputRequest) -> str:
            await (session.disconnect() if way == "disconnect" else client.close())
            return "x"

        session = await within(client.create_session(session_id="s", on_user_input=answer))
        peer.send(_user_input(1))
        assert "id" in await peer.response(1)
        await until(lambda: session.is_closed)


# Questions that come as events.


async def test_a_form_is_filled_in():
    """P13: forms come as events in every kind of session."""
    asked: list[ElicitationRequest] = []

    async def fill(form: ElicitationRequest) -> Mapping[str, Any]:
        asked.append(form)
        return {"name": "x"}

    async with open_session(on_elicitation=fill) as (_, peer):
        peer.event(
            "s", "elicitation.requested", {"requestId": "e1", "message": "?", "requestedSchema": {"type": "object"}}
        )
        sent = await peer.request("session.ui.handlePendingElicitation")
        assert sent["params"] == {
            "sessionId": "s",
            "requestId": "e1",
            "result": {"action": "accept", "content": {"name": "x"}},
        }
        assert (asked[0].session_id, asked[0].requested_schema) == ("s", {"type": "object"})
        peer.answer(sent, {"success": True})


CLOUD_QUESTIONS = [
    ("on_user_input", "user_input.requested", "session.ui.handlePendingUserInput", "response", "a"),
    ("on_exit_plan", "exit_plan_mode.requested", "session.ui.handlePendingExitPlanMode", "response", True),
    ("on_auto_mode_switch", "auto_mode_switch.requested", "session.ui.handlePendingAutoModeSwitch", "response", "yes"),
    ("on_elicitation", "elicitation.requested", "session.ui.handlePendingElicitation", "result", {"a": 1}),
]


@pytest.mark.parametrize(("option", "kind", "reply", "member", "answer"), CLOUD_QUESTIONS)
@pytest.mark.parametrize(
    "behaviour", ["answers", "raises", "leaves", "is missing", "returns nonsense", "cannot be sent"]
)
async def test_questions_of_a_cloud_session_are_always_answered(
    option: str, kind: str, reply: str, member: str, answer: object, behaviour: str
):
    """P13, P8: the newer family of runtimes takes no handler flags, so questions come as events."""

    async def handle(asked: UserInputRequest | ExitPlanRequest | AutoModeSwitch | ElicitationRequest) -> object:
        if behaviour == "raises":
            raise SystemExit(1)
        if behaviour == "leaves":
            raise asyncio.CancelledError
        if behaviour == "returns nonsense":
            return object()
        if behaviour == "cannot be sent":
            return {
                "on_user_input": UserInputResponse(object()),
                "on_exit_plan": ExitPlanResponse(True, feedback=object()),
                "on_auto_mode_switch": object(),
                "on_elicitation": ElicitationResult("accept", {"a": object()}),
            }[option]
        return answer

    options: dict[str, Any] = {} if behaviour == "is missing" else {option: handle}
    async with open_client() as (client, peer):

        def create(params: Mapping[str, Any]) -> Any:
            return {"sessionId": "s"}

        peer.on["sessions.connect"] = peer.on["session.create"] = create
        # A resumed session leaves what it has no handler for to other clients; a created one has nobody else.
        missing = behaviour == "is missing"
        opening = client.create_cloud_session() if missing else client.resume_cloud_session("s", **options)
        session = await within(opening)
        peer.event("s", kind, {"requestId": "q1", "question": "?"})
        sent = await peer.request(reply)
        assert sent["params"]["requestId"] == "q1"
        assert sent["params"]["sessionId"] == "s"
        assert sent["params"][member] is not None
        peer.answer(sent, {"success": True})
        await peer.settled()
        assert len(peer.requests(reply)) == 1
        await within(session.disconnect())


async def test_a_local_session_does_not_answer_twice_what_comes_as_a_request_too():
    """P8."""
    calls: list[object] = []

    async def answer(asked: UserInputRequest) -> str:
        calls.append(asked)
        return "a"

    async with open_session(on_user_input=answer) as (_, peer):
        peer.event("s", "user_input.requested", {"requestId": "q1", "question": "?"})
        peer.send(_user_input(1))
        assert (await peer.response(1))["result"]["answer"] == "a"
        await rounds()
        assert len(calls) == 1
        assert peer.requests("session.ui.handlePendingUserInput") == []


async def test_an_offer_that_nobody_asked_for_is_declined_once():
    """P8: newer runtimes make it by the event alone, and wait, in sessions that did not opt in."""
    reply = "session.ui.handlePendingAutoModeSwitch"
    async with open_session() as (_, peer):
        for kind in ("auto_mode_switch.requested", "user_input.requested", "exit_plan_mode.requested"):
            peer.event("s", kind, {"requestId": kind, "question": "?"})
        sent = await peer.request(reply)
        assert sent["params"] == {"sessionId": "s", "requestId": "auto_mode_switch.requested", "response": "no"}
        peer.answer(sent, {"success": True})
        await rounds()
        assert len(peer.requests(reply)) == 1
        assert peer.requests("session.ui.handlePendingUserInput") == []
        assert peer.requests("session.ui.handlePendingExitPlanMode") == []


async def test_an_offer_is_answered_as_a_request_where_there_is_a_handler():
    """P8."""
    async with open_session(on_auto_mode_switch=lambda offer: True) as (_, peer):
        peer.event("s", "auto_mode_switch.requested", {"requestId": "q1"})
        assert (await peer.asked("autoModeSwitch.request", {"sessionId": "s"}))["result"] == {"response": "yes"}
        await rounds()
        assert peer.requests("session.ui.handlePendingAutoModeSwitch") == []


# Commands.


class Unsayable(ToolError):
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    ("outcome", "sent"),
    [
        (None, {}),
        ("what it returns is nobody's business", {}),
        (ToolError("not on fridays"), {"error": "not on fridays"}),
        (ToolError(), {"error": "the command failed"}),
        (ValueError(SECRET), {"error": "the command failed with ValueError"}),
        (SystemExit(3), {"error": "the command failed with SystemExit"}),
        (asyncio.CancelledError(), {"error": "the command failed with CancelledError"}),
        (StopIteration(), {"error": "the command failed with RuntimeError"}),
        (KeyboardInterrupt(), {"error": "the command failed with RuntimeError"}),
        (Unsayable(), {"error": "the command failed with RuntimeError"}),
    ],
)
async def test_a_command_is_run_and_says_how_it_ended(outcome: object, sent: dict[str, str]):
    """P8: only an answer without an error says that it went well."""
    calls: list[CommandCall] = []

    def deploy(call: CommandCall) -> object:
        calls.append(call)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async with open_session(commands={"deploy": deploy}) as (_, peer):
        method = "session.commands.handlePendingCommand"
        peer.on[method] = lambda params: {"success": True}
        data = {"requestId": "c-1", "command": "/deploy now", "commandName": "deploy", "args": "now"}
        for _ in range(2):
            peer.event("s", "command.execute", data)
        peer.event("s", "command.execute", {**data, "requestId": "c-2", "commandName": "of-another-client"})
        params = (await peer.request(method))["params"]
        await peer.settled()
        assert params == {"sessionId": "s", "requestId": "c-1", **sent}
        assert len(peer.requests(method)) == len(calls) == 1
    assert (calls[0].name, calls[0].args, calls[0].command, calls[0].session_id) == (
        "deploy",
        "now",
        "/deploy now",
        "s",
    )
