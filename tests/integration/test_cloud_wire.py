"""Creating cloud sessions: what is refused, and what is sent (contracts P1 and P2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from missionlink.errors import InvalidOption
from missionlink.options.cloud import CloudOptions, Repository
from missionlink.options.model import Provider
from missionlink.options.session import SessionOptions
from missionlink.testing import FakeRuntime

if TYPE_CHECKING:
    from .conftest import Connect


def _sent(fake: FakeRuntime) -> list[str]:
    return [entry.method for entry in fake.traffic if entry.direction == "→"]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"session_id": "mine"}, "session_id"),
        ({"provider": Provider(base_url="http://127.0.0.1:9/v1")}, "provider"),
        ({"name": "mine"}, "name"),
        ({"on_request": {"sessionFs.readFile": dict}}, "on_request"),
        ({"on_request": {"skillProvider.list": dict}}, "on_request"),
        ({"extra": {"hasSkillProvider": True}}, "extra"),
        ({"extra": {"managedSettings": {}}}, "extra"),
        ({"extra": {"sessionId": "mine"}}, "extra"),
        ({"no_such_option": 1}, "no_such_option"),
    ],
)
async def test_cloud_creation_refuses_by_name_what_the_runtime_would_refuse(
    connect: Connect, arguments: dict[str, Any], option: str
) -> None:
    """P1: before any byte is sent."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        with pytest.raises(InvalidOption) as refused:
            await client.create_cloud_session("octo/hello", **arguments)
        assert refused.value.option == option
        assert _sent(fake) == ["connect"]


async def test_local_creation_refuses_a_cloud_configuration_and_names_the_other_method(connect: Connect) -> None:
    """P1: both with the option and with the wire's own member."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        with pytest.raises(InvalidOption, match="create_cloud_session"):
            await client.create_session(cloud={})
        with pytest.raises(InvalidOption):
            await client.create_session(SessionOptions(extra={"cloud": {}}))
        assert _sent(fake) == ["connect"]


@pytest.mark.parametrize(
    ("repository", "cloud", "target"),
    [
        ("octo/hello@main", None, {"repository": {"owner": "octo", "name": "hello", "branch": "main"}}),
        (Repository("octo", "hello"), None, {"repository": {"owner": "octo", "name": "hello"}}),
        (None, CloudOptions(owner="octo"), {"owner": "octo"}),
        (None, None, {}),
    ],
)
async def test_a_cloud_creation_sends_only_what_was_set(
    connect: Connect, repository: Any, cloud: CloudOptions | None, target: dict[str, Any]
) -> None:
    """P2: no ``sessionId``, and no false, null or empty member."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_cloud_session(repository, cloud=cloud):
            assert fake.traffic.calls("session.create") == [{"cloud": target}]


async def test_options_of_a_creation_and_of_a_resumption_are_the_same_on_the_wire(connect: Connect) -> None:
    """P2: one encoder for all ways to open a session."""
    options = SessionOptions(
        model="m", streaming=False, excluded_tools=["bash"], on_permission=lambda request: True, client_name="x"
    )
    wanted = {
        "model": "m",
        "streaming": False,
        "excludedTools": ["bash"],
        "requestPermission": True,
        "clientName": "x",
    }
    async with FakeRuntime(family="1.0.60") as fake:
        client = await connect(fake)
        async with client.create_session(options, session_id="s-1"):
            pass
        async with client.resume_session("s-1", options):
            pass
        async with client.create_cloud_session(None, options):
            pass
        create, cloud = fake.traffic.calls("session.create")
        (resume,) = fake.traffic.calls("session.resume")
        assert create == {"sessionId": "s-1", **wanted}
        assert resume == {"sessionId": "s-1", **wanted}
        assert cloud == {"cloud": {}, **wanted}
