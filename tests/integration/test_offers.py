"""What would make the runtime send requests that this client refuses is refused itself, at once (contracts P1, P8)."""

from __future__ import annotations

from typing import Any

import pytest

from missionlink import AsyncClient, SessionOptions
from missionlink.errors import InvalidOption
from missionlink.protocol.method_traits import CLIENT_REQUESTS, NEEDED_REQUESTS, NOTIFICATIONS
from missionlink.testing import FakeRuntime

from .fake_thread import FakeThread
from .raw_peer import open_client, open_session, within


@pytest.mark.parametrize("method", sorted(NEEDED_REQUESTS))
async def test_an_offer_that_this_client_cannot_keep_is_refused_before_it_is_sent(method: str) -> None:
    async with open_session() as (session, peer):
        for call in (session.rpc.call, session.call):
            with pytest.raises(InvalidOption, match="no handler for it: nothing was sent") as refused:
                await within(call(method))
            assert refused.value.option == method
        assert peer.requests(method) == []


async def test_the_typed_methods_refuse_them_too() -> None:
    async with open_client() as (client, peer):
        for offer in (
            client.rpc.llm_inference.set_provider,
            client.rpc.register_extension_launch_provider,
            lambda: client.rpc.host.start(host_id="h"),
            lambda: client.rpc.call("llmInference.setProvider", {}),
        ):
            with pytest.raises(InvalidOption):
                await within(offer())
        assert [message["method"] for message in peer.messages if "method" in message] == ["connect"]


def test_the_blocking_client_refuses_them_too(tmp_path: Any) -> None:
    with FakeThread(tmp_path) as fake, fake.client() as client, pytest.raises(InvalidOption, match="setProvider"):
        client.rpc.llm_inference.set_provider()


@pytest.mark.parametrize("method", sorted(NOTIFICATIONS))
def test_a_notification_is_no_request_that_a_session_could_serve(method: str) -> None:
    with pytest.raises(InvalidOption, match="a notification and no request") as refused:
        SessionOptions(on_request={method: lambda params: {}})
    assert refused.value.option == f"on_request[{method!r}]"


@pytest.mark.parametrize("method", sorted(CLIENT_REQUESTS))
def test_a_session_takes_no_handler_for_a_request_to_the_whole_client(method: str) -> None:
    """The session would never get it: the runtime was told that nobody serves it, and the turn hung."""
    with pytest.raises(InvalidOption, match="a request to the client as a whole") as refused:
        SessionOptions(on_request={method: lambda params: {}})
    assert refused.value.option == f"on_request[{method!r}]"


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("userInput.request", "on_user_input"),
        ("exitPlanMode.request", "on_exit_plan"),
        ("autoModeSwitch.request", "on_auto_mode_switch"),
    ],
)
def test_a_request_with_an_option_of_its_own_is_refused_as_any_other(method: str, option: str) -> None:
    """It was ignored, and the agent was told that nobody is there."""
    with pytest.raises(InvalidOption, match=option):
        SessionOptions(on_request={method: lambda params: {}})


@pytest.mark.parametrize("event", ["permission.requested", "external_tool.requested", "command.execute"])
def test_an_event_is_no_request(event: str) -> None:
    with pytest.raises(InvalidOption, match="is an event and no request"):
        SessionOptions(on_request={event: lambda params: {}})


def test_a_registration_for_tokens_is_refused() -> None:
    """The runtime would ask for the token within the creation, and be refused."""
    with pytest.raises(InvalidOption, match="use github_token, or the client"):
        SessionOptions(extra={"gitHubTokenProviderRegistrationId": "r"})


async def test_other_requests_are_served_as_before() -> None:
    options = {name: lambda params: {"name": params["n"]} for name in ("canvas.open", "hooks.invoke", "new.method")}
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        session = await client.create_session(on_request=options)
        for name in options:
            assert (await fake.ask(name, {"sessionId": session.id, "n": 1})).result == {"name": 1}
