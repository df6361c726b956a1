"""Typed permission requests, decisions that can be sent, and policies that fail closed (contract G1)."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from missionlink.errors import InvalidOption
from missionlink.handlers.invoke import PENDING
from missionlink.handlers.permissions.decisions import Allow, Decision, Deny, decision_to_wire
from missionlink.handlers.permissions.matching import plain_commands
from missionlink.handlers.permissions.policy import Permissions
from missionlink.handlers.permissions.requests import (
    HookPermission,
    McpPermission,
    MemoryPermission,
    PermissionRequest,
    ReadPermission,
    ShellPermission,
    ToolPermission,
    UrlPermission,
    WritePermission,
    parse_permission_request,
)

if TYPE_CHECKING:
    from pathlib import Path

SHELL = {"kind": "shell", "fullCommandText": "git status", "intention": "look", "commands": [{"identifier": "git"}]}
READ = {"kind": "read", "path": "/x", "intention": "look"}
DIFF = "\ndiff --git a/x b/x\n--- a{source}\n+++ b{path}\n@@ -1,0 +1,1 @@\n+hi\n"
EXAMPLES: list[tuple[dict[str, Any], type[PermissionRequest]]] = [
    (SHELL, ShellPermission),
    (READ, ReadPermission),
    ({"kind": "write", "fileName": "/x", "diff": "", "intention": "w"}, WritePermission),
    ({"kind": "url", "url": "https://example.org", "intention": "f"}, UrlPermission),
    ({"kind": "mcp", "serverName": "srv", "toolName": "srv-echo", "toolTitle": "e", "readOnly": True}, McpPermission),
    ({"kind": "memory", "fact": "the sky is blue"}, MemoryPermission),
    ({"kind": "custom-tool", "toolName": "weather", "args": {"city": "Oslo"}}, ToolPermission),
    ({"kind": "hook", "toolName": "view", "toolArgs": '{"path": "/x"}', "hookMessage": "sure?"}, HookPermission),
    ({"kind": "brand-new", "path": "/x"}, PermissionRequest),
    ({"kind": 5}, PermissionRequest),
]


def read(details: dict[str, Any], prompt: dict[str, Any] | None = None, **about: Any) -> PermissionRequest:
    """A request as the runtime would send it."""
    data = {"requestId": "r", "permissionRequest": details, "permissionMode": "manual"}
    if prompt is not None:
        data["promptRequest"] = prompt
    request = parse_permission_request(msgspec.Raw(msgspec.json.encode(data)), "s", **about)
    assert request is not None
    return request


def write(path: str, source: str = "/dev/null", **more: Any) -> PermissionRequest:
    diff = DIFF.format(source=source, path=path)
    return read({"kind": "write", "fileName": path, "diff": diff, "intention": "w", **more})


def decided(policy: Any, request: PermissionRequest) -> Any:
    return asyncio.run(policy(request))


def allows(policy: Any, request: PermissionRequest) -> bool:
    return bool(decided(policy, request).allows)


# Requests.


@pytest.mark.parametrize(("details", "form"), EXAMPLES, ids=lambda value: getattr(value, "__name__", None))
def test_each_kind_has_a_class_of_its_own(details: dict[str, Any], form: type[PermissionRequest]) -> None:
    request = read(details)
    assert type(request) is form
    assert request.details == details
    assert (request.request_id, request.session_id) == ("r", "s")


@pytest.mark.parametrize(
    "details",
    [
        {"kind": "shell", "fullCommandText": 5},
        {"kind": "shell"},
        {"kind": "write", "fileName": ["a", "b"]},
        {"kind": "read", "path": None},
        {"kind": "read", "path": "/x", "intention": 7},
        {"kind": "url"},
        {"kind": "mcp", "serverName": "srv"},
        {"kind": "custom-tool", "toolName": 5},
        {"kind": "memory"},
        {"kind": "hook"},
    ],
)
def test_a_request_of_an_odd_form_is_of_no_known_kind(details: dict[str, Any]) -> None:
    """Rules look at the class, so that nothing odd is allowed by one."""
    request = read(details)
    assert type(request) is PermissionRequest
    assert request.kind == details["kind"]
    assert not allows(Permissions.allow(**EVERYTHING), request)


def test_requests_can_be_told_apart_by_match() -> None:
    match read(SHELL):
        case ShellPermission(command=command, commands=[first]):
            assert (command, first.identifier) == ("git status", "git")
        case other:
            pytest.fail(f"not matched: {other!r}")


def test_arguments_of_a_hook_are_decoded_on_both_families() -> None:
    """The older family writes them as text."""
    texts = [{"path": "/x"}, '{"path": "/x"}', "no json", None]
    requests = [read({"kind": "hook", "toolName": "view", "toolArgs": text}) for text in texts]
    assert [getattr(one, "arguments", None) for one in requests] == [{"path": "/x"}, {"path": "/x"}, "no json", None]


def test_what_is_asked_stays_out_of_logs() -> None:
    """G2."""
    assert "git" not in repr(read(SHELL))


# Decisions.


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("approved", "approve-once"),
        ("approved-for-session", "approve-for-session"),
        ("denied-interactively-by-user", "reject"),
        ("denied-by-rules", "reject"),
        ("denied-no-approval-rule-and-could-not-request-from-user", "user-not-available"),
        ("allow", "approve-once"),
        ("", "reject"),
    ],
)
def test_only_decisions_in_the_present_tense_can_be_made(kind: str, right: str) -> None:
    with pytest.raises(InvalidOption, match=right):
        Decision(kind)


@pytest.mark.parametrize(
    ("details", "sent"),
    [
        (SHELL, {"approval": {"kind": "commands", "commandIdentifiers": ["git"]}}),
        ({**SHELL, "commands": []}, None),
        (READ, {"approval": {"kind": "read"}}),
        ({"kind": "write", "fileName": "/x", "intention": "w"}, {"approval": {"kind": "write"}}),
        ({"kind": "url", "url": "https://example.org:1/x"}, {"domain": "example.org"}),
        ({"kind": "url", "url": "https://["}, None),
        (
            {"kind": "mcp", "serverName": "srv", "toolName": "srv-echo"},
            {"approval": {"kind": "mcp", "serverName": "srv", "toolName": "echo"}},
        ),
        ({"kind": "custom-tool", "toolName": "t"}, {"approval": {"kind": "custom-tool", "toolName": "t"}}),
        ({"kind": "memory", "fact": "f"}, {"approval": {"kind": "memory"}}),
        ({"kind": "hook", "toolName": "t"}, None),
        ({"kind": "brand-new"}, None),
    ],
)
def test_an_approval_for_the_session_says_what_it_approves(
    details: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    """Runtimes of 1.0.60 fail the call otherwise."""
    wire = decision_to_wire(Allow.for_session(), read(details))
    assert wire == ({"kind": "approve-once"} if sent is None else {"kind": "approve-for-session", **sent})
    given = {"kind": "approve-for-session", "approval": {"kind": "write"}}
    assert decision_to_wire(Allow.for_session({"kind": "write"}), read(details)) == given


def test_a_reason_that_would_end_the_run_is_left_out() -> None:
    """Runtimes up to 1.0.71 end the run when a read is rejected, reason or not."""
    data = {"requestId": "r", "permissionRequest": READ, "promptRequest": {"kind": "path", "paths": ["/x"]}}
    older = parse_permission_request(msgspec.Raw(msgspec.json.encode(data)), "s")
    assert decision_to_wire(Deny("why"), older) == {"kind": "user-not-available"}
    assert decision_to_wire(Deny.and_stop(), older) == {"kind": "reject"}
    newer = read(READ, {"kind": "path", "paths": ["/x"]})
    assert decision_to_wire(Deny("why"), newer) == {"kind": "reject", "feedback": "why"}


@pytest.mark.parametrize("feedback", ["", 5, None])
def test_a_refusal_needs_a_reason(feedback: Any) -> None:
    with pytest.raises(InvalidOption, match="feedback"):
        Deny(feedback)


# Rules.

EVERYTHING: dict[str, Any] = {
    "read": True, "write_under": "/", "shell": True, "url": True, "mcp": True, "tools": True, "memory": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"read": 5},
        {"read": b"x"},
        {"write_under": True},
        {"write_under": [5]},
        {"write_under": [""]},
        {"shell": "*"},
        {"shell": [""]},
        {"shell": 5},
        {"url": [None]},
        {"mcp": 1.5},
        {"mcp": ["srv/"]},
        {"mcp": ["/read"]},
        {"url": ["docs.python.org\x01"]},
        {"tools": {"a": 1}},
        {"memory": "yes"},
    ],
    ids=repr,
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Permissions.allow(**wrong)


@pytest.mark.parametrize(("details", "form"), EXAMPLES, ids=lambda value: getattr(value, "__name__", None))
def test_an_unknown_kind_is_never_allowed_by_a_rule(details: dict[str, Any], form: type[PermissionRequest]) -> None:
    policy = Permissions.allow(**EVERYTHING)
    known = form not in (PermissionRequest, HookPermission) and form is not WritePermission
    assert allows(policy, read(details)) is known
    assert not allows(Permissions.allow(memory=True), read({**details, "fact": 5}))


@pytest.mark.parametrize("member", ["managedApprovalRequired", "requestSandboxBypass", "requestSandboxPermissive"])
@pytest.mark.parametrize(("details", "form"), EXAMPLES[:7], ids=lambda value: getattr(value, "__name__", None))
def test_what_a_person_must_decide_is_not_allowed_by_a_rule(
    details: dict[str, Any], form: type[PermissionRequest], member: str
) -> None:
    assert not allows(Permissions.allow(**EVERYTHING), read({**details, member: True}))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with a file, links out of it and in it, and a neighbour whose name begins alike."""
    work = tmp_path / "inside"
    (work / "src" / "deep").mkdir(parents=True)
    (work / "src" / "file.py").write_text("x")
    (tmp_path / "inside-of-others").mkdir()
    (work / "out").symlink_to(tmp_path)
    (work / "src" / "link.py").symlink_to(tmp_path / "elsewhere")
    (work / "src" / "inner").symlink_to(work / "src" / "deep")
    (work / "ring").symlink_to(work / "ring")
    (work / "src" / "ring").symlink_to(work / "src" / "ring")
    (work / "alias").symlink_to(work / "src")
    return work


@pytest.mark.parametrize(
    ("path", "is_allowed"),
    [
        ("{work}/src/file.py", True),
        ("{work}/src/new.py", True),
        ("{work}/src/deep/not/there/yet.py", True),
        ("{work}/src", True),
        ("src/file.py", True),
        ("./src/../src/file.py", True),
        ("{work}/src/inner/x", True),
        ("{work}/alias/x", True),
        ("{work}/file.py", False),
        ("{work}/src/../file.py", False),
        ("{work}/src/inner/../../file.py", False),
        ("{work}/src/link.py", False),
        ("{work}/out/inside/../elsewhere", False),
        ("{work}-of-others/x", False),
        ("{work}/src-other/x", False),
        ("{work}/ring/x", False),
        ("{work}/src/ring", False),
        ("{work}/src/ring/x", False),
        ("/etc/passwd", False),
        ("~/x", False),
        ("", False),
        ("{work}/src/a\nb", False),
        ("{work}/src/a\x00b", False),
        (".", False),
    ],
)
def test_a_path_is_below_a_folder_only_when_it_really_is(work: Path, path: str, is_allowed: bool) -> None:
    """G1: links and ``..`` are resolved before anything is compared."""
    place = path.format(work=work)
    policy = Permissions.allow(read=["src"], write_under="src")
    for request in (
        read({"kind": "read", "path": place}, working_directory=str(work)),
        read(
            {"kind": "write", "fileName": place, "fileEdits": [{"after": {"path": place}}]}, working_directory=str(work)
        ),
    ):
        assert allows(policy, request) is is_allowed


def test_a_folder_that_is_a_link_stands_for_what_it_points_to(work: Path) -> None:
    policy = Permissions.allow(write_under=work / "alias")
    assert allows(policy, write(f"{work}/src/file.py"))
    assert allows(policy, write(f"{work}/alias/file.py"))
    assert not allows(policy, write(f"{work}/other.py"))


def test_every_path_of_a_request_must_be_below_the_folder(work: Path) -> None:
    """A move takes away what it moves; a question may name more paths than the request."""
    policy = Permissions.allow(read="/", write_under=work / "src")
    inside, outside = f"{work}/src/new.py", f"{work}/secret"
    assert allows(policy, write(inside, source=inside))
    assert not allows(policy, write(inside, source=outside))
    assert not allows(policy, write(outside, source=inside))
    assert not allows(policy, write(inside, resolvedPath=outside))
    assert not allows(policy, write(inside, resolvedPath=5))
    moved = [{"before": {"path": outside}, "after": {"path": inside}}]
    assert not allows(policy, write(inside, fileEdits=moved))
    assert not allows(policy, write(inside, fileEdits=[{"after": {"content": "x"}}]))
    assert not allows(policy, write(inside, fileEdits=[]))
    assert not allows(policy, write(inside, fileEdits=[{}]))
    assert allows(policy, write(inside, fileEdits=[{"after": {"path": inside}}]))
    folders = Permissions.allow(read=[work / "src"])
    details = {"kind": "read", "path": inside}
    assert allows(folders, read(details, {"kind": "path", "paths": [inside]}))
    assert not allows(folders, read(details, {"kind": "path", "paths": [inside, outside]}))
    assert not allows(folders, read(details, {"kind": "path", "paths": inside}))


@pytest.mark.parametrize("diff", ["", "binary", "--- a/dev/null", "--- a/dev/null\n--- a/x\n+++ b/x", 5])
def test_a_change_that_does_not_show_where_it_comes_from_is_not_allowed(work: Path, diff: Any) -> None:
    request = read({"kind": "write", "fileName": f"{work}/src/new.py", "diff": diff})
    assert not allows(Permissions.allow(write_under=work), request)


def test_folders_mean_nothing_on_another_machine(work: Path) -> None:
    details = {"kind": "read", "path": str(work / "src" / "file.py")}
    assert allows(Permissions.allow(read=[work]), read(details))
    assert not allows(Permissions.allow(read=[work]), read(details, is_remote=True))
    assert allows(Permissions.allow(read=True), read(details, is_remote=True))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("git status", [["git", "status"]]),
        ("  git   status  ", [["git", "status"]]),
        ("git log 'a b' \"c d\"e", [["git", "log", "a b", "c de"]]),
        ("a && b || c ; d | e", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("a;", [["a"]]),
        ("a ''", [["a", ""]]),
        ("cc -DX=1 x.c", [["cc", "-DX=1", "x.c"]]),
        ("ls äöü", [["ls", "äöü"]]),
    ],
)
def test_a_plain_line_is_taken_apart(line: str, words: list[list[str]]) -> None:
    assert plain_commands(line) == words


@pytest.mark.parametrize(
    "line",
    [
        "", " ", ";", "a ;; b", "a &&", "&& a", "a |", "a & b", "a &", "a > x", "a < x", "a >> x", "a 2>&1", "a $HOME",
        "a $(b)", "a `b`", "a \"$b\"", "a \"`b`\"", "(a)", "{ a; }", "a\nb", "a\rb", "a \\b", "a 'b", 'a "b', "a # b",
        "!a", "a *", "a ?", "a [b]", "a ~", "X=1 a", "X=1", "X+=1 a", "a |& b", "a <(b)", "a\x00b", "a \"b!c\"", "a\vb",
        "a {b,c}", "a %X%", "a @b", "a^b", "a\u2028b", "a\u00a0b", "'X'=1 a; Y=2",
    ],
    ids=repr,
)  # fmt: skip
def test_a_line_that_is_not_plain_is_not_taken_apart(line: str) -> None:
    """G1."""
    assert plain_commands(line) is None
    assert not allows(Permissions.allow(shell=["a *", "b *", "a", "* *"]), read({**SHELL, "fullCommandText": line}))


@pytest.mark.parametrize(
    ("patterns", "line", "is_allowed"),
    [
        (["git status"], "git status", True),
        (["git status"], "git status --short", False),
        (["git status *"], "git status --short", True),
        (["git status *"], "git status", True),
        (["git status *"], "git statusx", False),
        (["git *"], "git", True),
        (["git *"], "gitk", False),
        (["git * --short"], "git status --short", True),
        (["git s*"], "git status", True),
        (["git s*"], "git 's tatus'", True),
        (["git status"], "'git status'", False),
        (["git log *", "head *"], "git log | head -n 3", True),
        (["git log *"], "git log | head -n 3", False),
        (["git log *"], "git log; rm -rf /", False),
        (["git log *"], "git log && git log", True),
        (["GIT *"], "git log", False),
    ],
)
def test_a_command_is_matched_word_by_word(patterns: list[str], line: str, is_allowed: bool) -> None:
    request = read({**SHELL, "fullCommandText": line})
    assert allows(Permissions.allow(shell=patterns), request) is is_allowed


def test_a_command_of_another_shell_or_with_a_redirection_does_not_match() -> None:
    policy = Permissions.allow(shell=["git *"])
    assert allows(policy, read({**SHELL, "shellType": "bash"}))
    assert not allows(policy, read({**SHELL, "shellType": "powershell"}))
    assert not allows(policy, read({**SHELL, "hasWriteFileRedirection": True}))


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://docs.python.org/3/", True),
        ("http://docs.python.org", True),
        ("https://DOCS.python.org./x", True),
        ("https://docs.python.org:443/x", True),
        ("https://a.example.org/x", True),
        ("https://example.org/x", False),
        ("https://docs.python.org:8443/x", False),
        ("https://docs.python.org.evil.test/", False),
        ("https://docs.python.org@evil.test/", False),
        ("https://evil.test%2f.example.org/", False),
        ("https://docs.python.org%2eevil.test/", False),
        ("https://evil.test/docs.python.org", False),
        ("https://evil.test#docs.python.org", False),
        ("https://evil.test\\@docs.python.org/", False),
        ("ftp://docs.python.org/", False),
        ("//docs.python.org/", False),
        ("docs.python.org", False),
        ("https://docs.python.org:99999/", False),
        ("https://[", False),
        ("https://docs.pythön.org/", False),
        ("https://docs.python.org /", False),
        ("https://docs.python.org\x01.evil.test/", False),
        ("\x01https://docs.python.org/", False),
        ("https://docs.python.org/\x7f", False),
        ("https://docs.python.org\t.evil.test/", False),
        ("https://docs.python.org:pass@evil.test/", False),
        ("https://@docs.python.org/", False),
        ("https:docs.python.org", False),
        ("https:///docs.python.org", False),
        ("https://docs.python.org../", False),
        ("https://evil.test;.example.org/", False),
        ("https://evil.test,.example.org/", False),
        ("https://evil.test'.example.org/", False),
        ("https://evil.test&.example.org/", False),
        ("https://.example.org/", False),
        ("https://xn--docs-x4a.python.org/", False),
        ("", False),
    ],
)
def test_an_address_is_matched_by_its_host(url: str, is_allowed: bool) -> None:
    policy = Permissions.allow(url=["docs.python.org", "*.example.org"])
    assert allows(policy, read({"kind": "url", "url": url})) is is_allowed


def test_a_port_of_its_own_must_be_named() -> None:
    request = read({"kind": "url", "url": "http://127.0.0.1:8000/x"})
    assert not allows(Permissions.allow(url=["127.0.0.1"]), request)
    assert allows(Permissions.allow(url=["127.0.0.1:8000"]), request)
    other = read({"kind": "url", "url": "http://[::1]:8000/x"})
    assert allows(Permissions.allow(url=["[::1]:8000"]), other)
    assert not allows(Permissions.allow(url=["[::1]", "[0-9:]*"]), other)


def test_an_approval_names_no_domain_that_the_address_only_seems_to_have() -> None:
    for url in ("https://docs.python.org\\@evil.test/", "https://docs.python.org@evil.test/", "https://a\x01b.test"):
        assert read({"kind": "url", "url": url}).session_approval() is None
    assert read({"kind": "url", "url": "https://docs.python.org/x"}).session_approval() == {"domain": "docs.python.org"}


@pytest.mark.parametrize(("pattern", "is_allowed"), [("srv", True), ("srv/*", True), ("srv/echo", True), ("s", False), ("srv/other", False), ("srv-echo", False)])  # noqa: E501  # fmt: skip
def test_a_tool_of_a_server_is_matched_by_name(pattern: str, is_allowed: bool) -> None:
    request = read({"kind": "mcp", "serverName": "srv", "toolName": "srv-echo"})
    assert allows(Permissions.allow(mcp=[pattern]), request) is is_allowed


@pytest.mark.parametrize(
    ("pattern", "is_allowed"), [("srv/read", False), ("srv/*", False), ("srv/read/*", True), ("srv/read/echo", True), ("*", True)]  # noqa: E501
)  # fmt: skip
def test_a_pattern_for_a_tool_does_not_match_a_server_of_that_name(pattern: str, is_allowed: bool) -> None:
    request = read({"kind": "mcp", "serverName": "srv/read", "toolName": "srv/read-echo"})
    assert allows(Permissions.allow(mcp=[pattern]), request) is is_allowed


def test_own_tools_are_matched_by_name() -> None:
    request = read({"kind": "custom-tool", "toolName": "read_weather"})
    assert allows(Permissions.allow(tools="read_*"), request)
    assert not allows(Permissions.allow(tools=["write_*"]), request)


# Policies.


def test_the_first_step_that_knows_an_answer_decides() -> None:
    asked: list[str] = []

    def ask(request: PermissionRequest) -> Decision | None:
        asked.append(request.kind)
        return Deny("not that") if request.kind == "shell" else None

    policy = Permissions.allow(read=True).ask(ask).otherwise_deny("no")
    assert decided(policy, read(READ)) == Allow.once()
    assert decided(policy, read(SHELL)) == Deny("not that")
    assert decided(policy, read({"kind": "memory", "fact": "f"})) == Deny("no")
    assert asked == ["shell", "memory"]
    assert [(one.request.kind, one.decided_by) for one in policy.decisions] == [
        ("read", "allow"),
        ("shell", "ask"),
        ("memory", "otherwise"),
    ]
    assert policy.decisions[0].decision == Allow.once()


def test_what_no_step_decides_is_denied() -> None:
    """G1."""
    for policy in (Permissions.allow(read=True), Permissions.ask(lambda request: None)):
        decision = decided(policy, read(SHELL))
        assert not decision.allows
        assert decision.feedback, "a refusal without a reason would end the run"
    assert not allows(Permissions.deny_all(), read(READ))
    assert allows(Permissions.allow_all(), read({"kind": "brand-new"}))


def test_functions_of_a_policy_may_be_of_any_kind() -> None:
    async def later(request: PermissionRequest) -> bool:
        return True

    for function in (later, lambda request: True, lambda request: Allow.once()):
        assert allows(Permissions.ask(function), read(SHELL))
        assert allows(Permissions.allow(read=True).otherwise(function), read(SHELL))


@pytest.mark.parametrize("junk", ["yes", 1, {"kind": "approve-once"}, [True]])
def test_junk_from_a_function_is_no_decision(junk: Any) -> None:
    with pytest.raises(InvalidOption, match="policy"):
        decided(Permissions.ask(lambda request: junk), read(SHELL))


def test_a_policy_can_hand_questions_to_the_pending_ones() -> None:
    for policy in (
        Permissions.allow(read=True).otherwise(PENDING),
        Permissions.ask(lambda request: PENDING),
        Permissions.ask(PENDING),
    ):
        assert decided(policy, read(SHELL)) is PENDING
        assert policy.decisions[0].decision is None


def test_steps_are_checked_when_they_are_added() -> None:
    for wrong in (None, 5, "ask", Decision):
        with pytest.raises(InvalidOption, match="function"):
            Permissions.ask(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="otherwise"):
        Permissions.deny_all().ask(lambda request: True)
    with pytest.raises(InvalidOption, match="feedback"):
        Permissions.allow(read=True).otherwise_deny("")


def test_adding_a_step_leaves_the_policy_as_it_was() -> None:
    reading = Permissions.allow(read=True)
    both = reading.allow(memory=True)
    memory = read({"kind": "memory", "fact": "f"})
    assert allows(both, memory)
    assert not allows(reading, memory)
    assert (len(reading.decisions), len(both.decisions)) == (1, 1)


def test_the_log_is_bounded() -> None:
    policy = Permissions.allow_all()

    async def many() -> None:
        for _ in range(1100):
            await policy(read(READ))

    asyncio.run(many())
    assert len(policy.decisions) == 1000


def test_the_marker_stays_itself() -> None:
    assert pickle.loads(pickle.dumps(PENDING)) is PENDING
    assert repr(PENDING) == "PENDING"
    with pytest.raises(TypeError):
        PENDING("a question")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": ["https://docs.python.org/3"]}, "no host"),
        ({"url": "user@docs.python.org"}, "no host"),
        ({"url": " docs.python.org"}, "no host"),
        ({"url": "exämple.org"}, "no host"),
        ({"read": "~/src"}, "expanduser"),
        ({"write_under": ["src", "a\0b"]}, "no folder"),
        ({"shell": "**"}, "shell=True"),
    ],
)
def test_a_rule_that_could_not_mean_what_it_says_is_refused(options: dict[str, Any], problem: str) -> None:
    """E2: it would match nothing, or everything, and nobody would be told."""
    with pytest.raises(InvalidOption, match=problem) as caught:
        Permissions.allow(**options)
    assert caught.value.option == next(iter(options))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Decision(["approve-once"]),  # type: ignore[arg-type]
        lambda: Decision("reject", 5),  # type: ignore[arg-type]
        lambda: Decision("approve-once", details=5),  # type: ignore[arg-type]
        lambda: Allow.for_session("shell"),  # type: ignore[arg-type]
        lambda: Allow.for_session(domain=5),  # type: ignore[arg-type]
        lambda: Allow.reading_for_session(5),  # type: ignore[arg-type]
        lambda: Allow.for_location("key", None),  # type: ignore[arg-type]
        lambda: Allow.permanently(None),  # type: ignore[arg-type]
    ],
)
def test_a_decision_of_the_wrong_make_is_refused_where_it_is_made(make: Any) -> None:
    """E2."""
    with pytest.raises(InvalidOption):
        make()
