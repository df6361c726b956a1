"""Every event that a runtime may send is read, and what does not fit is kept."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from missionlink.events import UnknownEvent
from missionlink.protocol import index
from missionlink.protocol.envelope import decode_event

from .schema_instances import VERSIONS, Instances, broken, holds, without_nulls

RUNTIMES = {version: Instances(version) for version in VERSIONS}
EVENTS = [(version, wire) for version, x in RUNTIMES.items() for wire in x.model["events"]]
FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def payloads(version: str, wire: str) -> st.SearchStrategy[Any]:
    instances = RUNTIMES[version]
    return instances.of(instances.model["events"][wire]["data"])


@pytest.mark.parametrize(("version", "wire"), EVENTS)
@FEW
@given(data=st.data())
def test_a_payload_is_typed_and_encodes_to_the_same_json(version: str, wire: str, data: st.DataObject) -> None:
    """T2: Contract: both runtimes' schemas are read by one set of types, without loss."""
    value = data.draw(payloads(version, wire))
    payload = index.decode_payload(wire, msgspec.json.encode(value))
    assert payload is not None
    assert type(payload) is index.payload_class(wire)
    assert without_nulls(json.loads(msgspec.json.encode(payload))) == without_nulls(value)


@pytest.mark.parametrize(("version", "wire"), EVENTS)
@FEW
@given(data=st.data())
def test_a_broken_payload_is_typed_or_kept_raw(version: str, wire: str, data: st.DataObject) -> None:
    """T2: Contract: no payload raises, and none is lost."""
    value = data.draw(broken(payloads(version, wire)))
    raw = msgspec.json.encode(value)
    whole = msgspec.json.encode({"type": wire, "data": msgspec.Raw(raw)})
    event = decode_event(msgspec.Raw(whole))
    if isinstance(event.data, UnknownEvent):
        assert event.data.raw == raw
        assert index.decode_payload(wire, raw) is None
    else:
        assert type(event.data) is index.payload_class(wire)
        assert holds(event.data, value, event.odd_members)
        # What was read can be written and read again.
        again = index.decode_payload(wire, msgspec.json.encode(event.data))
        assert msgspec.json.encode(again) == msgspec.json.encode(event.data)
    assert event.raw == whole


@pytest.mark.parametrize(("version", "wire"), EVENTS)
@FEW
@given(data=st.data())
def test_new_members_and_new_values_of_enums_keep_a_payload_typed(version: str, wire: str, data: st.DataObject) -> None:
    """T2: Contract: what newer runtimes usually add costs nothing of the rest."""
    value = data.draw(payloads(version, wire))
    value["memberOfANewerRuntime"] = {"a": [1]}
    for name, kind in _fields(RUNTIMES[version].model, wire).items():
        if name in value and "enum" in kind:
            value[name] = "value-of-a-newer-runtime"
    assert type(index.decode_payload(wire, msgspec.json.encode(value))) is index.payload_class(wire)


def _fields(model: dict[str, Any], wire: str) -> dict[str, Any]:
    node = model["events"][wire]["data"]
    while True:
        if isinstance(node, str):
            node = model["types"][node[1:]]
        elif "type" in node:
            node = node["type"]
        else:
            break
    found: dict[str, Any] = {}
    for name, kind in node.get("object", {}).items():
        target = kind
        while isinstance(target, str) and target.startswith("#"):
            target = model["types"][target[1:]]
            target = target["type"] if "type" in target else target
        found[name.removesuffix("?")] = target
    return {name: x for name, x in found.items() if isinstance(x, dict)}
