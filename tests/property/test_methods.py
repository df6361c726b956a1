"""Every method can be called, and what a runtime answers is read without loss."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from missionlink.errors import OperationFailed, UnexpectedResult
from missionlink.protocol import index
from missionlink.protocol.generated.methods import METHODS
from missionlink.protocol.model import decoder_for
from missionlink.protocol.namespace import Namespace
from missionlink.rpc import DEFAULT, ClientRpc, SessionRpc, Timeout

from .schema_instances import VERSIONS, Instances, broken, without_nulls

RUNTIMES = {version: Instances(version) for version in VERSIONS}
FEW = settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
CALLS = [
    (version, wire)
    for version, x in RUNTIMES.items()
    for wire, method in x.model["methods"].items()
    if not method["side"].startswith("client")
]
REQUESTS = [
    (version, wire)
    for version, x in RUNTIMES.items()
    for wire, method in x.model["methods"].items()
    if method["side"].startswith("client")
]
# Their events become ``Event`` objects, which are not written back.
EVENT_LISTS = {"session.getMessages", "session.eventLog.read", "sessions.readPersistedEvents"}


class Recorder:
    """Answers every call with the same JSON and keeps what was called."""

    def __init__(self, answer: bytes = b"null") -> None:
        self.answer = answer
        self.method = ""
        self.params: dict[str, Any] = {}

    async def call(self, method: str, params: Mapping[str, object] | None = None, *, timeout: Timeout = DEFAULT) -> Raw:
        self.method = method
        self.params = json.loads(msgspec.json.encode(params))
        return Raw(self.answer)


def methods_of(namespace: Namespace) -> Iterator[Any]:
    """All typed methods that can be reached from a namespace."""
    for name in namespace._children:
        yield from methods_of(getattr(namespace, name))
    for name, function in inspect.getmembers(type(namespace), inspect.iscoroutinefunction):
        if not name.startswith("_") and name != "call":
            yield functools.partial(function, namespace)


def call(function: Any) -> Any:
    """Call a typed method with something for each argument that it needs."""
    needed = {
        name: ["needed"] if str(x.annotation).startswith("Sequence") else "needed"
        for name, x in inspect.signature(function).parameters.items()
        if x.kind is x.KEYWORD_ONLY and x.default is x.empty
    }
    # The recorder never waits, so that no event loop is needed.
    try:
        function(**needed).send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the call waits for something")


@functools.cache
def recorder_and_methods() -> tuple[Recorder, dict[str, Any]]:
    """The typed methods by their wire names, found by calling each of them once."""
    recorder = Recorder()
    found: dict[str, Any] = {}
    for root in (ClientRpc(recorder, {}), SessionRpc(recorder, {"sessionId": "S"})):
        for bound in methods_of(root):
            try:
                call(bound)
            except UnexpectedResult:
                pass
            assert recorder.method not in found
            found[recorder.method] = bound
    return recorder, found


def test_every_known_method_is_there_once() -> None:
    """Contract: all methods of both runtimes are typed, those of newer and of older ones alike."""
    _, found = recorder_and_methods()
    assert found.keys() == METHODS.keys()
    assert {wire for _, wire in CALLS} == METHODS.keys()


@pytest.mark.parametrize(("version", "wire"), CALLS)
def test_arguments_go_out_under_their_wire_names(version: str, wire: str) -> None:
    """Contract: what the schema requires is sent, what is left out is absent."""
    recorder, found = recorder_and_methods()
    recorder.answer = b"null"
    try:
        call(found[wire])
    except UnexpectedResult:
        pass
    schema = RUNTIMES[version].model
    fields = _fields(schema, schema["methods"][wire].get("params"))
    # What another runtime does not require is optional; what is sent is always something that is known.
    assert recorder.params.keys() <= {name.removesuffix("?") for name in fields} | {"sessionId"}
    if schema["methods"][wire]["side"] == "session":
        assert recorder.params["sessionId"] == "S"


@pytest.mark.parametrize(("version", "wire"), CALLS)
@FEW
@given(data=st.data())
def test_a_result_is_read_without_loss(version: str, wire: str, data: st.DataObject) -> None:
    """T2."""
    instances = RUNTIMES[version]
    value = data.draw(instances.of(instances.model["methods"][wire]["result"]))
    recorder, found = recorder_and_methods()
    recorder.answer = msgspec.json.encode(value)
    try:
        result = call(found[wire])
    except OperationFailed as refused:
        assert refused.result == value
        assert False in (value.get("success"), value.get("ok"))
        return
    if wire not in EVENT_LISTS and _has_result(found[wire]):
        assert without_nulls(json.loads(msgspec.json.encode(result))) == without_nulls(value)


@pytest.mark.parametrize(("version", "wire"), CALLS)
@FEW
@given(data=st.data())
def test_a_broken_result_is_read_or_raised_with_its_json(version: str, wire: str, data: st.DataObject) -> None:
    """T2."""
    instances = RUNTIMES[version]
    value = data.draw(broken(instances.of(instances.model["methods"][wire]["result"])))
    recorder, found = recorder_and_methods()
    recorder.answer = msgspec.json.encode(value)
    try:
        call(found[wire])
    except OperationFailed as refused:
        assert refused.result == value
    except UnexpectedResult as unexpected:
        assert unexpected.raw == recorder.answer
        assert unexpected.method == wire


@pytest.mark.parametrize(("version", "wire"), REQUESTS)
@FEW
@given(data=st.data())
def test_what_the_runtime_asks_is_read_without_loss(version: str, wire: str, data: st.DataObject) -> None:
    """T2."""
    method = RUNTIMES[version].model["methods"][wire]
    types = index.client_request_types(wire)
    assert types is not None
    for kind, node in zip(types, (method["params"], method["result"]), strict=True):
        value = data.draw(RUNTIMES[version].of(node))
        decoded = decoder_for(kind)(msgspec.json.encode(value))
        assert without_nulls(json.loads(msgspec.json.encode(decoded))) == without_nulls(value)


def _has_result(function: Any) -> bool:
    return inspect.signature(function).return_annotation != "None"


def _fields(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    if node is None or node == "null":
        return {}
    if isinstance(node, str):
        return _fields(schema, schema["types"][node[1:]])
    if "type" in node:
        return _fields(schema, node["type"])
    if "union" in node:
        return {name: x for member in node["union"] for name, x in _fields(schema, member).items()}
    return node["object"]
