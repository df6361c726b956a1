"""Options are checked when they are made, refused by name, and encoded by one table (contracts P1, P2, P4, G2)."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from missionlink._client.launch import environment
from missionlink._wire.pending_limits import PendingLimits
from missionlink.blocking.client import Client
from missionlink.client import AsyncClient
from missionlink.errors import InvalidOption
from missionlink.handlers.tools.tool import tool
from missionlink.options.client import ClientOptions, parse_address
from missionlink.options.cloud import CloudOptions, Repository
from missionlink.options.encode import check_cloud, cloud_params, session_params, strip_unsupported, unsupported_members
from missionlink.options.fields import ClientFields, SessionFields
from missionlink.options.model import Provider, SystemMessage
from missionlink.options.session import SessionOptions
from missionlink.storage import MemoryFS

SECRET = "s3cr3t-value"

WRONG_CLIENT = [
    ("runtime", [3, ["copilot"]]),
    ("runtime_args", ["--one", 3, [3], b"x", None]),
    ("url", [3, "", "nowhere", "host:", "host:0", "host:65536", "host:-1", "host:port", "http://host:1/x", "h:²"]),
    ("url", ["https://host:1", "user:word@host:1", "a b:1", "[::1:1", "x" * 70 + ":1", "host:" + "1" * 5000]),
    ("channel", ["udp", 3, "STDIO"]),
    ("connection_token", [3, ""]),
    ("github_token", [3, "", b"bytes"]),
    ("use_logged_in_user", ["yes", 3]),
    ("base_directory", [3, ["x"]]),
    ("working_directory", [3, ["x"]]),
    ("env", [3, ["A=1"], {"A": 1}, {1: "A"}]),
    ("inherit_env", ["no", None]),
    ("coalesce_reads", ["no", None]),
    ("log_level", ["loud", 3]),
    ("start_timeout", [0, -1, "5", True, float("nan")]),
    ("request_timeout", [0, -1, "5", True]),
    ("create_timeout", [0, -1, "5", True]),
    ("close_timeout", [0, -1, "5", None]),
    ("max_frame_bytes", [0, -1, 1.5, "5", None, True]),
    ("pending_limits", [None, 5, {"sessions": 1}]),
    ("early_request_timeout", [0, -1, "5", True]),
    ("handler_threads", [0, -1, 1.5, None, True]),
    ("handler_thread_timeout", [0, -1, None, True, "30"]),
    ("on_request", [3, [print]]),
    ("on_notification", [3, [print]]),
    ("token_provider", [3, "token"]),
    ("model_requests", [3, "forward"]),
    ("storage", [3, "folder", {}, MemoryFS]),
    ("on_error", [3, "print"]),
    ("on_message", [3, "print"]),
]

WRONG_SESSION = [
    ("model", [3, ""]),
    ("reasoning_effort", [3, ""]),
    ("provider", [3, {"base_url": "http://x"}, "openai"]),
    ("system_message", [3, "be brief", {"mode": "append"}]),
    ("streaming", [1, "yes"]),
    ("sub_agent_streaming", [0, "no"]),
    ("name", [3, ""]),
    ("client_name", [3, ""]),
    ("working_directory", [3, ""]),
    ("additional_directories", ["one", 3, [3]]),
    ("config_directory", [3, ""]),
    ("available_tools", ["one", 3, [None]]),
    ("excluded_tools", ["one", 3, [""]]),
    ("mcp_servers", [3, ["x"], "x", {"a": {"env": {"KEY": b"x"}}}]),
    ("github_token", [3, ""]),
    ("on_permission", [3, True]),
    ("permission_timeout", [0, -1, "5", True]),
    ("on_user_input", [3, "yes"]),
    ("on_elicitation", [3]),
    ("on_exit_plan", [3]),
    ("on_auto_mode_switch", ["yes"]),
    ("on_event", [3]),
    ("storage", [3, "folder", {}, MemoryFS]),
    ("tools", [3, None, "print", [3], [print], {"a": print}, [int]]),
    ("hooks", [3, {"pre_tool_use": print}, print]),
    ("commands", [3, None, ["deploy"], {"deploy": 3}, {"/deploy": print}, {3: print}, {"": print}]),
    ("transforms", [3, None, {3: print}]),
    ("on_provider_token", [3, "token"]),
    ("backlog_events", [0, -1, 1.5, None, True]),
    ("backlog_bytes", [0, -1, 1.5, None]),
    ("extra", [3, ["x"], {"sessionId": "s"}, {"cloud": {}}, {"a": [b"x"]}, {"a": bytearray()}]),
]

WRONG_PROVIDER = [
    ("base_url", [3, "", None, "ftp://x", "localhost"]),
    ("type", ["other", 3]),
    ("api_key", [3, ""]),
    ("bearer_token", [3, ""]),
    ("headers", [3, "x", {"A": 1}]),
    ("wire_api", ["grpc"]),
    ("wire_model", [3, ""]),
    ("model_id", [3, ""]),
    ("vision", ["yes", 1]),
    ("max_prompt_tokens", [0, 1.5, "5"]),
    ("max_output_tokens", [0, 1.5, "5"]),
    ("api_version", [3, ""]),
]

WRONG_CLOUD = [
    ("owner", [3, ""]),
    ("ready_timeout", [0, -1, "5"]),
    ("catch_up_timeout", [0, -1, None, "5"]),
    ("drop_unsupported", ["no", None, 3]),
]


def _cases(table: list[tuple[str, list[Any]]]) -> list[Any]:
    return [pytest.param(name, value, id=f"{name}={value!r}") for name, values in table for value in values]


@pytest.mark.parametrize(("name", "value"), _cases(WRONG_CLIENT))
def test_a_wrong_client_option_is_refused_by_name(name: str, value: object):
    """style 2.7, reliability 11: before anything is started."""
    with pytest.raises(InvalidOption) as caught:
        ClientOptions(**{name: value})
    assert caught.value.option == name


@pytest.mark.parametrize(("name", "value"), _cases(WRONG_SESSION))
def test_a_wrong_session_option_is_refused_by_name(name: str, value: object):
    """P1, reliability 11."""
    with pytest.raises(InvalidOption) as caught:
        SessionOptions(**{name: value})
    assert caught.value.option == name


@pytest.mark.parametrize(("name", "value"), _cases(WRONG_PROVIDER))
def test_a_wrong_provider_option_is_refused_by_name(name: str, value: object):
    """style 2.7."""
    with pytest.raises(InvalidOption) as caught:
        Provider(**{"base_url": "http://localhost", name: value})
    assert caught.value.option == name


@pytest.mark.parametrize(("name", "value"), _cases(WRONG_CLOUD))
def test_a_wrong_cloud_option_is_refused_by_name(name: str, value: object):
    """P1."""
    with pytest.raises(InvalidOption) as caught:
        CloudOptions(**{name: value})
    assert caught.value.option == name


@pytest.mark.parametrize("value", [3, "x", {"userInput.request": 3}, {3: print}, {"": print}])
def test_functions_for_other_requests_are_checked_one_by_one(value: object):
    with pytest.raises(InvalidOption) as caught:
        SessionOptions(on_request=value)  # type: ignore[arg-type]
    assert caught.value.option.startswith("on_request")


@pytest.mark.parametrize(
    ("kind", "table", "untested"),
    [
        (ClientOptions, WRONG_CLIENT, set()),
        (SessionOptions, WRONG_SESSION, {"on_request"}),
        (Provider, WRONG_PROVIDER, set()),
        (CloudOptions, WRONG_CLOUD, set()),
    ],
)
def test_every_option_has_its_wrong_values_above(kind: type, table: list[tuple[str, list[Any]]], untested: set[str]):
    """A field that is added without a check fails here."""
    assert {one.name for one in dataclasses.fields(kind)} == {name for name, _ in table} | untested


def test_an_unknown_option_is_refused_by_name():
    """style 2.7."""
    with pytest.raises(InvalidOption) as caught:
        SessionOptions().replace(modle="x")
    assert caught.value.option == "modle"
    with pytest.raises(InvalidOption) as caught:
        AsyncClient().create_session(modle="x")
    assert caught.value.option == "modle"


def test_options_cannot_be_changed():
    for options in (
        ClientOptions(),
        SessionOptions(),
        CloudOptions(),
        Provider(base_url="http://x"),
        Repository("a", "b"),
    ):
        with pytest.raises((AttributeError, TypeError)):
            options.model = "x"  # type: ignore[misc]


def test_a_list_given_to_an_option_can_change_without_changing_the_option():
    tools = ["a"]
    options = SessionOptions(available_tools=tools)
    tools.append("b")
    assert options.available_tools == ("a",)


def test_replace_makes_a_checked_copy():
    options = SessionOptions(model="a", streaming=True)
    changed = options.replace(model="b")
    assert (changed.model, changed.streaming, options.model) == ("b", True, "a")
    with pytest.raises(InvalidOption):
        options.replace(model=3)


@pytest.mark.parametrize("name", ["runtime", "base_directory", "working_directory", "env"])
def test_options_of_a_started_runtime_are_refused_beside_a_url(name: str):
    """An option that cannot have an effect is not accepted."""
    with pytest.raises(InvalidOption) as caught:
        ClientOptions(url="localhost:1", **{name: {"A": "b"} if name == "env" else "x"})
    assert caught.value.option == name


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:8000", ("localhost", 8000)),
        ("tcp://10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("http://localhost:8000", ("localhost", 8000)),
        ("http://[::1]:80/", ("::1", 80)),
        ("[::1]:80/", ("::1", 80)),
        ("fe80::1%eth0:80", ("fe80::1%eth0", 80)),
        ("8000", ("127.0.0.1", 8000)),
        (":8000", ("127.0.0.1", 8000)),
    ],
)
def test_an_address_has_several_spellings(text: str, address: tuple[str, int]):
    assert parse_address(text) == address
    ClientOptions(url=text)


@pytest.mark.parametrize(
    ("text", "repository"),
    [
        ("octo/hello", Repository("octo", "hello")),
        ("octo/hello@main", Repository("octo", "hello", "main")),
        ("octo/hello@feature/x@2", Repository("octo", "hello", "feature/x@2")),
        ("o.c-t_o/h.e-l_lo", Repository("o.c-t_o", "h.e-l_lo")),
    ],
)
def test_a_repository_can_be_written_short(text: str, repository: Repository):
    """design 4."""
    assert Repository.parse(text) == repository
    assert str(repository) == text


@pytest.mark.parametrize(
    "text", ["", "octo", "octo/", "/hello", "octo/hello@", "a/b/c", "a b/c", "octo/hello@a b", "a/b\n"]
)
def test_another_spelling_of_a_repository_is_refused(text: str):
    """P1."""
    with pytest.raises(InvalidOption) as caught:
        Repository.parse(text)
    assert caught.value.option == "repository"


@pytest.mark.parametrize(
    ("fields", "name"), [({"owner": ""}, "owner"), ({"name": "a/b"}, "name"), ({"branch": ""}, "branch")]
)
def test_a_wrong_part_of_a_repository_is_refused_by_name(fields: dict[str, Any], name: str):
    with pytest.raises(InvalidOption) as caught:
        Repository(**{"owner": "o", "name": "n", **fields})
    assert caught.value.option == name


# On the wire.


def _everything(**more: Any) -> SessionOptions:
    return SessionOptions(
        model="m",
        reasoning_effort="high",
        streaming=True,
        sub_agent_streaming=False,
        client_name="c",
        working_directory=pathlib.PurePosixPath("/w"),
        additional_directories=["/a"],
        config_directory="/c",
        available_tools=["t"],
        excluded_tools=[],
        mcp_servers={"s": {"command": "x"}},
        system_message=SystemMessage.append("hi"),
        github_token="g",
        on_permission=lambda request: True,
        on_user_input=lambda question: "x",
        on_elicitation=lambda form: None,
        on_exit_plan=lambda plan: True,
        on_auto_mode_switch=lambda offer: "no",
        on_request={"hooks.invoke": lambda params: {}},
        on_event=print,
        permission_timeout=5,
        extra={"customAgents": []},
        **more,
    )


def test_what_was_not_set_is_absent():
    """P2: never false, null or an empty list."""
    assert session_params(SessionOptions()) == {}
    assert cloud_params(SessionOptions(), None, CloudOptions()) == {"cloud": {}}


def test_what_was_set_is_sent_even_if_it_is_false_or_empty():
    """P2."""
    sent = session_params(SessionOptions(streaming=False, available_tools=[], mcp_servers={}))
    assert sent == {"streaming": False, "availableTools": (), "mcpServers": {}}


def test_every_option_reaches_the_wire_under_its_name():
    """P2."""
    params = session_params(_everything(name="n", provider=Provider(base_url="http://p", api_key="k")))
    assert params == {
        "model": "m",
        "reasoningEffort": "high",
        "streaming": True,
        "includeSubAgentStreamingEvents": False,
        "name": "n",
        "clientName": "c",
        "workingDirectory": "/w",
        "additionalDirectories": ("/a",),
        "configDir": "/c",
        "availableTools": ("t",),
        "excludedTools": (),
        "mcpServers": {"s": {"command": "x"}},
        "gitHubToken": "g",
        "provider": {"type": "openai", "baseUrl": "http://p", "apiKey": "k"},
        "systemMessage": {"mode": "append", "content": "hi"},
        "requestPermission": True,
        "requestUserInput": True,
        "requestElicitation": True,
        "requestExitPlanMode": True,
        "requestAutoModeSwitch": True,
        "hooks": True,
        "customAgents": [],
    }


def test_a_cloud_creation_has_the_same_parameters_and_a_cloud_member_and_no_id():
    """P2: one table for create, cloud create and resume."""
    options = _everything()
    params = cloud_params(options, Repository("octo", "hello", "main"), CloudOptions())
    assert params.pop("cloud") == {"repository": {"owner": "octo", "name": "hello", "branch": "main"}}
    assert params == session_params(options)
    assert "sessionId" not in params


def test_the_parts_of_the_cloud_member_that_were_not_set_are_absent():
    """P2."""
    params = cloud_params(SessionOptions(), Repository("octo", "hello"), CloudOptions(owner="org"))
    assert params["cloud"] == {"repository": {"owner": "octo", "name": "hello"}, "owner": "org"}


def test_extra_parameters_win_over_the_table():
    assert session_params(SessionOptions(model="a", extra={"model": "b"})) == {"model": "b"}


@pytest.mark.parametrize(
    ("fields", "name", "word"),
    [
        ({"provider": Provider(base_url="http://x")}, "provider", "Mission Control"),
        ({"name": "n"}, "name", "Mission Control"),
        ({"extra": {"provider": {}}}, "extra", "provider"),
        ({"extra": {"name": "n"}}, "extra", "name"),
        ({"extra": {"hasSkillProvider": True}}, "extra", "hasSkillProvider"),
        ({"extra": {"sessionFs": {}}}, "extra", "sessionFs"),
        ({"on_request": {"sessionFs.readFile": print}}, "on_request", "sessionFs.readFile"),
        ({"on_request": {"skillProvider.list": print}}, "on_request", "skillProvider.list"),
    ],
)
def test_a_cloud_session_refuses_by_name_what_it_cannot_have(fields: dict[str, Any], name: str, word: str):
    """P1: before any byte is sent; here there is not even a connection."""
    with pytest.raises(InvalidOption) as caught:
        check_cloud(SessionOptions(**fields))
    assert caught.value.option == name
    assert word in str(caught.value)
    client = AsyncClient()
    for opener in (client.create_cloud_session, lambda **given: client.resume_cloud_session("s", **given)):
        with pytest.raises(InvalidOption) as caught:
            opener(**fields)
        assert caught.value.option == name


def test_a_cloud_session_takes_no_id_of_the_caller():
    """P1."""
    with pytest.raises(InvalidOption) as caught:
        AsyncClient().create_cloud_session("octo/hello", session_id="mine")
    assert caught.value.option == "session_id"


@pytest.mark.parametrize("fields", [{"cloud": CloudOptions()}, {"cloud": {}}])
def test_a_local_session_refuses_a_cloud_configuration_and_names_the_right_method(fields: dict[str, Any]):
    """P1."""
    with pytest.raises(InvalidOption) as caught:
        AsyncClient().create_session(**fields)
    assert caught.value.option == "cloud"
    assert "create_cloud_session" in str(caught.value)


@pytest.mark.parametrize("repository", [3, ["octo", "hello"], {"owner": "o"}, "octo", ""])
def test_a_wrong_repository_is_refused_by_name(repository: object):
    """P1."""
    with pytest.raises(InvalidOption) as caught:
        AsyncClient().create_cloud_session(repository)  # type: ignore[arg-type]
    assert caught.value.option == "repository"


@pytest.mark.parametrize("session_id", ["", None, 3])
def test_a_wrong_session_id_is_refused_by_name(session_id: object):
    client = AsyncClient()
    for opener in (client.resume_session, client.resume_cloud_session):
        with pytest.raises(InvalidOption) as caught:
            opener(session_id)  # type: ignore[arg-type]
        assert caught.value.option == "session_id"


@pytest.mark.parametrize("timeout", [0, -1, "5", True, float("nan")])
def test_a_wrong_time_limit_is_refused_by_name(timeout: object):
    client = AsyncClient()
    for opener in (client.create_session, client.create_cloud_session):
        with pytest.raises(InvalidOption) as caught:
            opener(timeout=timeout)
        assert caught.value.option == "timeout"


@pytest.mark.parametrize("options", [3, {"model": "m"}, ClientOptions()])
def test_options_of_another_kind_are_refused(options: Any):
    client = AsyncClient()
    for opener in (client.create_session, lambda given: client.create_cloud_session("o/n", given)):
        with pytest.raises(InvalidOption) as caught:
            opener(options)
        assert caught.value.option == "options"


# What newer runtimes refuse in a cloud creation.


def test_lean_parameters_hold_nothing_that_newer_runtimes_refuse():
    """P13."""
    refused = {
        "requestPermission",
        "requestUserInput",
        "requestElicitation",
        "requestExitPlanMode",
        "requestAutoModeSwitch",
        "hooks",
        "tools",
        "commands",
        "includeSubAgentStreamingEvents",
        "requestCanvasRenderer",
        "requestMcpApps",
    }
    options = _everything().replace(extra=dict.fromkeys(refused, True) | {"memory": {}})
    params = cloud_params(options, Repository("o", "n"), CloudOptions())
    small = strip_unsupported(params)
    assert refused <= set(params)
    assert not refused & set(small)
    assert set(params) - refused == set(small)
    assert small["cloud"] == params["cloud"]
    assert small["model"] == "m"


def test_lean_changes_nothing_where_there_is_nothing_to_leave_out():
    """P13: the client tells by this whether a repetition can help."""
    params = cloud_params(SessionOptions(model="m"), None, CloudOptions())
    assert strip_unsupported(params) == params


def test_what_cannot_be_served_from_events_is_named():
    """P13: hooks and client tools; the questions can."""
    options = _everything().replace(extra={"tools": [{"name": "t"}], "commands": [], "canvases": None})
    assert unsupported_members(session_params(options)) == ["hooks", "tools"]
    assert unsupported_members(session_params(SessionOptions(on_permission=lambda request: True))) == []


# Secrets.


@pytest.mark.parametrize(
    "options",
    [
        ClientOptions(github_token=SECRET, connection_token=SECRET, env={"TOKEN": SECRET}),
        SessionOptions(github_token=SECRET, extra={"token": SECRET}),
        SessionOptions(mcp_servers={"s": {"url": "http://h", "headers": {"Authorization": SECRET}}}),
        SessionOptions(
            provider=Provider(base_url="http://x", api_key=SECRET, bearer_token=SECRET, headers={"A": SECRET})
        ),
    ],
    ids=["client", "session", "mcp servers", "provider"],
)
def test_no_representation_shows_a_secret(options: object):
    """G2."""
    assert SECRET not in repr(options)
    assert SECRET not in str(options)


def test_no_refusal_repeats_a_secret():
    """G2."""
    wrong: list[tuple[type, dict[str, Any]]] = [
        (ClientOptions, {"env": {"TOKEN": [SECRET]}}),
        (ClientOptions, {"github_token": [SECRET]}),
        (SessionOptions, {"github_token": [SECRET]}),
        (Provider, {"base_url": "http://x", "api_key": [SECRET]}),
        (Provider, {"base_url": "http://x", "headers": [SECRET]}),
    ]
    for kind, fields in wrong:
        with pytest.raises(InvalidOption) as caught:
            kind(**fields)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "value", [f"{SECRET}\n", f"\t{SECRET}", f"a {SECRET}", f"{SECRET}\x00", f"{SECRET}\x7f", f"{SECRET}é"]
)
@pytest.mark.parametrize(
    ("option", "make"),
    [
        ("github_token", lambda value: ClientOptions(github_token=value)),
        ("github_token", lambda value: AsyncClient(github_token=value)),
        ("github_token", lambda value: Client(github_token=value)),
        ("github_token", lambda value: SessionOptions(github_token=value)),
        ("connection_token", lambda value: ClientOptions(url="127.0.0.1:1", connection_token=value)),
        ("env['GH_TOKEN']", lambda value: ClientOptions(env={"GH_TOKEN": value.replace("\0", " ")})),
        (
            "env['COPILOT_SDK_AUTH_TOKEN']",
            lambda value: ClientOptions(env={"COPILOT_SDK_AUTH_TOKEN": value.replace("\0", " ")}),
        ),
        ("api_key", lambda value: Provider(base_url="http://x", api_key=value)),
        ("bearer_token", lambda value: Provider(base_url="http://x", bearer_token=value)),
    ],
)
def test_a_token_that_no_header_can_carry_is_refused_unseen(
    option: str, make: Callable[[str], Any], value: str
) -> None:
    """G2. Most often it is the line break at the end of a file; it failed later, or reached the runtime changed."""
    with pytest.raises(InvalidOption) as caught:
        make(value)
    assert caught.value.option == option
    assert SECRET not in str(caught.value)


def test_a_token_of_this_program_s_own_environment_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPILOT_SDK_AUTH_TOKEN", f"{SECRET}\n")
    with pytest.raises(InvalidOption) as caught:
        environment(ClientOptions(), None)
    assert caught.value.option == "COPILOT_SDK_AUTH_TOKEN"
    assert SECRET not in str(caught.value)
    assert environment(ClientOptions(github_token="good"), None)["COPILOT_SDK_AUTH_TOKEN"] == "good"
    assert ClientOptions(env={"GITHUB_TOKEN": ""}).env == {"GITHUB_TOKEN": ""}


def test_the_defaults_are_those_of_the_contract():
    """P4, C5."""
    assert PendingLimits() == PendingLimits(items_per_session=128, sessions=64, total_bytes=16 * 1024 * 1024)
    assert ClientOptions().start_timeout == 30
    assert ClientOptions().early_request_timeout == 0.25
    assert ClientOptions().max_frame_bytes == 256 * 1024 * 1024


def own() -> None:
    """Do it."""


@pytest.mark.parametrize(
    ("available", "sent"), [(["view"], ("view", "own")), ([], ("own",)), (["own", "view"], ("own", "view"))]
)
def test_the_programs_own_tools_are_available(available: list[str], sent: tuple[str, ...]) -> None:
    """Who gives tools wants them to be used; what is excluded stays excluded."""
    assert session_params(SessionOptions(tools=[own], available_tools=available))["availableTools"] == sent
    both = session_params(SessionOptions(tools=[own], available_tools=available, excluded_tools=["own"]))
    assert both["toolFilterPrecedence"] == "excluded"
    assert "availableTools" not in session_params(SessionOptions(tools=[own]))


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        (None, {}, {}),
        ("m", {}, {}),
        (None, {"model_id": "w"}, {"modelId": "w"}),
        ("m", {"model_id": "w"}, {"wireModel": "w"}),
        ("m", {"model_id": "m"}, {"modelId": "m"}),
        ("m", {"wire_model": "w"}, {"wireModel": "w"}),
        (None, {"wire_model": "w"}, {"modelId": "w", "wireModel": "w"}),
        (None, {"model_id": "i", "wire_model": "w"}, {"modelId": "i", "wireModel": "w"}),
        ("m", {"model_id": "m", "wire_model": "w"}, {"modelId": "m", "wireModel": "w"}),
    ],
)
def test_the_servers_name_of_a_model_is_sent_where_both_families_heed_it(
    model: str | None, given: dict[str, str], sent: dict[str, str]
) -> None:
    provider = Provider(base_url="http://x", **given)
    params = session_params(SessionOptions(model=model, provider=provider))["provider"]
    assert params == {"type": "openai", "baseUrl": "http://x", **sent}


def test_a_name_of_a_model_that_would_do_nothing_is_refused() -> None:
    provider = Provider(base_url="http://x", model_id="i", wire_model="w")
    with pytest.raises(InvalidOption, match="provider: its model_id does nothing"):
        SessionOptions(model="m", provider=provider)


def test_what_is_excluded_stays_excluded_whatever_is_available():
    """Runtimes forget one of the two lists unless they are told which comes first."""
    both = SessionOptions(available_tools=["view", "bash"], excluded_tools=["bash"])
    assert session_params(both)["toolFilterPrecedence"] == "excluded"
    for one in (SessionOptions(available_tools=["view"]), SessionOptions(excluded_tools=["bash"]), SessionOptions()):
        assert "toolFilterPrecedence" not in session_params(one)


@pytest.mark.parametrize(("options", "keywords"), [(ClientOptions, ClientFields), (SessionOptions, SessionFields)])
def test_the_keywords_that_editors_know_are_the_fields_of_the_options(options: Any, keywords: Any) -> None:
    declared = {one.name: one.type for one in dataclasses.fields(options)}
    assert keywords.__annotations__.keys() == declared.keys()
    assert {name: kind.__forward_arg__ for name, kind in keywords.__annotations__.items()} == declared


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_client_takes_its_options_as_keywords_over_an_object(kind: Any) -> None:
    given = ClientOptions(start_timeout=7, log_level="debug")
    client = kind(given, start_timeout=None, base_directory="here")
    assert client.options == ClientOptions(start_timeout=None, log_level="debug", base_directory="here")
    assert kind().options == ClientOptions()
    with pytest.raises(InvalidOption, match="base_dir: is no field of ClientOptions"):
        kind(given, base_dir="here")
    with pytest.raises(InvalidOption, match="start_timeout"):
        kind(start_timeout=-1)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("modle", "model"),
        ("workingDirectory", "working_directory"),
        ("mcpServers", "mcp_servers"),
        ("on_permission_request", "on_permission"),
        ("available_tool", "available_tools"),
        ("working_dir", "working_directory"),
    ],
)
def test_an_unknown_option_of_a_session_names_the_one_that_is_meant(wrong: str, meant: str) -> None:
    client: Any = AsyncClient()
    makers = [
        client.create_session,
        lambda **given: client.resume_session("s", **given),
        client.create_cloud_session,
        lambda **given: client.resume_cloud_session("s", **given),
        SessionOptions,
        SessionOptions().replace,
    ]
    for make in makers:
        with pytest.raises(InvalidOption, match=f"^{wrong}: .*did you mean '{meant}'") as caught:
            make(**{wrong: "x"})
        assert caught.value.option == wrong


def test_an_unknown_option_of_anything_else_names_the_one_that_is_meant() -> None:
    kinds: list[tuple[Any, str, str]] = [
        (AsyncClient, "github_tokn", "github_token"),
        (Client, "base_dir", "base_directory"),
        (ClientOptions, "loglevel", "log_level"),
        (CloudOptions, "readyTimeout", "ready_timeout"),
        (Provider, "baseURL", "base_url"),
        (tool, "desciption", "description"),
        (lambda **given: AsyncClient().create_session(**given), "sesion_id", "session_id"),
        (lambda **given: AsyncClient().resume_session("s", **given), "continuePending", "continue_pending"),
    ]
    for make, wrong, meant in kinds:
        with pytest.raises(InvalidOption, match=f"did you mean '{meant}'") as caught:
            make(**{wrong: "x"})
        assert caught.value.option == wrong
    with pytest.raises(InvalidOption, match="goes into extra"):
        SessionOptions(infinite_sessions={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError):
        Provider()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
