"""What is known of a session: capabilities can be read and not changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from missionlink import AsyncClient
from missionlink.protocol.envelope import Event
from missionlink.session.state import OpenedResult, SessionState, frozen
from missionlink.testing import FakeRuntime


def test_capabilities_cannot_be_changed_at_any_depth():
    facts = SessionState(is_ready=True)
    facts.opened(OpenedResult("s", capabilities={"ui": {"elicitation": True}, "list": [{"a": 1}]}))
    shown: Any = frozen(facts.capabilities)
    assert shown == {"ui": {"elicitation": True}, "list": ({"a": 1},)}
    with pytest.raises(TypeError):
        shown["ui"] = {}
    with pytest.raises(TypeError):
        shown["ui"]["elicitation"] = False
    with pytest.raises(TypeError):
        shown["list"][0]["a"] = 2
    with pytest.raises(AttributeError):
        shown["list"].append(3)


def test_capabilities_that_events_change_leave_what_was_read_before():
    facts = SessionState(is_ready=True)
    facts.opened(OpenedResult("s", capabilities={"ui": {"elicitation": True, "x": 1}}))
    before = frozen(facts.capabilities)
    data = msgspec.Raw(b'{"ui":{"elicitation":false}}')
    facts.observe(Event(type="capabilities.changed", data_raw=data))
    assert before == {"ui": {"elicitation": True, "x": 1}}
    assert frozen(facts.capabilities) == {"ui": {"elicitation": False, "x": 1}}


async def test_the_capabilities_of_a_session_cannot_be_changed_by_accident():
    async with (
        FakeRuntime() as fake,
        AsyncClient(transport=fake.transport()) as client,
        client.create_session() as session,
    ):
        capabilities: Any = session.capabilities
        assert capabilities["ui"]["elicitation"] is False
        with pytest.raises(TypeError):
            capabilities["ui"]["elicitation"] = True
        assert session.capabilities["ui"]["elicitation"] is False
