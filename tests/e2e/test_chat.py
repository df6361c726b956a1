"""``missionlink chat`` on the real runtimes: a local session, and a cloud session of a Mission Control of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missionlink.testing import call, say
from missionlink.testing.scripted_model.server import serve_in_thread

pytest.importorskip("termios", reason="needs a POSIX terminal")

if TYPE_CHECKING:
    from missionlink.testing import ModelRequest

    from .real_runtime import RealRuntime


def terminal_class() -> Any:
    """The terminal of the integration tests, which are a package of their own."""
    place = Path(__file__).resolve().parents[1] / "integration" / "terminal.py"
    spec = importlib.util.spec_from_file_location("terminal_for_tests", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Terminal


def environment(runtime: RealRuntime, home: Path) -> dict[str, str]:
    names = ("PATH", "XDG_CACHE_HOME")
    path = os.pathsep.join(sys.path)
    return {
        **{name: os.environ[name] for name in names},
        "HOME": str(home),
        "COPILOT_HOME": str(home / "copilot"),
        "COPILOT_DISABLE_KEYTAR": "1",
        "GITHUB_TOKEN": "a-token",
        "MISSIONLINK_RUNTIME": str(runtime.program),
        "PYTHONPATH": path,
    }


def talk(runtime: RealRuntime, home: Path, *arguments: str) -> Any:
    argv = [sys.executable, "-m", "missionlink", "chat", *arguments]
    return terminal_class()(argv, environment(runtime, home), columns=100)


def is_empty(shown: str) -> bool:
    """Whether the last line is the empty prompt."""
    return shown.rpartition("\n")[2].rstrip() == ">"


SHOP = """
import json, sys

asked = {}
ORDER = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Name", "minLength": 2},
        "mail": {"type": "string", "format": "email"},
        "count": {"type": "integer", "minimum": 1, "default": 3},
        "price": {"type": "number"},
        "gift": {"type": "boolean", "default": False},
        "size": {"type": "string", "enum": ["s", "l"], "enumNames": ["small", "large"]},
        "extras": {"type": "array", "items": {"type": "string", "enum": ["milk", "sugar"]}},
    },
    "required": ["name", "size"],
}

def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

for line in sys.stdin:
    heard = json.loads(line)
    method, params = heard.get("method"), heard.get("params", {})
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "shop", "version": "1"}}
        say({"id": heard["id"], "result": result})
    elif method == "tools/list":
        say({"id": heard["id"], "result": {"tools": [
            {"name": name, "description": name, "inputSchema": {"type": "object"}} for name in ("order", "pay")]}})
    elif method == "tools/call":
        number = f"asked-{len(asked)}"
        asked[number] = heard["id"]
        if params["name"] == "pay":
            form = {"mode": "url", "message": "Pay here", "url": "https://pay.invalid/1", "elicitationId": "e1"}
        else:
            form = {"message": "Your order", "requestedSchema": ORDER}
        say({"id": number, "method": "elicitation/create", "params": form})
    elif heard.get("id") in asked:
        text = json.dumps(heard.get("result"))
        say({"id": asked[heard["id"]], "result": {"content": [{"type": "text", "text": text}]}})
    elif "id" in heard:
        say({"id": heard["id"], "result": {}})
"""


def answer(request: ModelRequest) -> Any:
    if request.messages[-1].get("role") == "tool":
        return say("It ran.")
    if "order" in request.prompt:
        return call("shop-order", {})
    if "pay" in request.prompt:
        return call("shop-pay", {})
    if "run it" in request.prompt:
        return call("bash", {"command": "echo hi", "description": "say hi"})
    return say("A **bold** word.")


def test_a_local_session_is_talked_with(runtime: RealRuntime, tmp_path: Path) -> None:
    with serve_in_thread(answer) as model:
        url = model.provider().base_url
        with talk(runtime, tmp_path, "--provider-url", url, "--model", model.model) as terminal:
            terminal.wait(is_empty, "the prompt")
            terminal.type("hello\r")
            shown = terminal.see("A bold word.")
            assert shown.count("A bold word.") == 1
            terminal.type("run it\r")
            terminal.see("Permission  shell echo hi")
            terminal.see("Allow? [y/")
            terminal.type("y\r")
            terminal.see("It ran.")
            terminal.type("/quit\r")
            assert terminal.end() == 0
            assert terminal.after == terminal.before
            # The terminal may break the line anywhere.
            shown = terminal.wait(lambda shown: "--resume" in "".join(shown.split()), "the way back")
        (session_id,) = re.findall(r"--resume([0-9a-f-]{36})", "".join(shown.split()))
        assert f"--provider-url{url}" in "".join(shown.split())
        with talk(runtime, tmp_path, "--provider-url", url, "--model", model.model, "--resume", session_id) as terminal:
            terminal.wait(is_empty, "the prompt")
            terminal.type("/history\r")
            terminal.see("It ran.")
            terminal.type("/quit\r")
            assert terminal.end() == 0


def test_a_cloud_session_is_talked_with(runtime: RealRuntime, tmp_path: Path) -> None:
    with talk(runtime, tmp_path, "--embedded") as terminal:
        terminal.wait(is_empty, "the prompt")
        terminal.type("hello\r")
        terminal.see("hello", times=2)
        terminal.wait(is_empty, "the end of the turn")
        terminal.type("//permission make test\r")
        terminal.see("Allow? [y/")
        terminal.type("y\r")
        terminal.see("Permission to run 'make test' was given.")
        terminal.type("//hang\r")
        terminal.see("working")
        terminal.type("another\r")
        assert "error" not in terminal.see("> another")
        terminal.type("/abort\r")
        terminal.see("aborted")
        terminal.type("/quit\r")
        assert terminal.end() == 0


def fill(terminal: Any, *lines: tuple[str, str]) -> None:
    """Type each answer where its label is asked."""
    for label, text in lines:
        terminal.wait(lambda shown, label=label: shown.rpartition("\n")[2].startswith(label), label)
        terminal.type(text + "\r")


def test_what_an_mcp_server_asks_is_answered_at_the_prompt(runtime: RealRuntime, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    shop = {"type": "local", "command": sys.executable, "args": [str(tmp_path / "shop.py")], "tools": ["*"]}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"shop": shop}}))
    with serve_in_thread(answer) as model:
        options = ["--provider-url", model.provider().base_url, "--model", model.model, "--allow-all"]
        with talk(runtime, tmp_path, *options, "--mcp-config", str(tmp_path / "mcp.json")) as terminal:
            terminal.wait(is_empty, "the prompt")
            terminal.type("order\r")
            terminal.see("shop asks  Your order")
            fill(terminal, ("Name:", "B"), ("Name:", "Bob"), ("mail:", ""), ("count [3]:", "/back"), ("mail:", "b@c.d"))
            fill(terminal, ("count [3]:", ""), ("price:", "2.5"), ("gift [no]:", "yes"), ("size:", "2"))
            fill(terminal, ("extras:", "sugar"), ("Send?", "1"), ("Name [Bob]:", "Rob"), ("Send?", "y"))
            terminal.see("It ran.")
            terminal.type("order\r")
            terminal.see("shop asks  Your order", times=2)
            fill(terminal, ("Name:", "/decline"))
            terminal.see("It ran.", times=2)
            terminal.type("pay\r")
            terminal.see("https://pay.invalid/1")
            fill(terminal, ("Agree to open this page?", "y"))
            terminal.see("It ran.", times=3)
            terminal.type("pay\r")
            terminal.see("https://pay.invalid/1", times=2)
            terminal.wait(lambda shown: shown.rpartition("\n")[2].startswith("Agree"), "the question")
            terminal.type("\x03")
            terminal.see("It ran.", times=4)
            terminal.type("/quit\r")
            assert terminal.end() == 0
    given = [json.loads(text) for _, text in sorted(model.requests[-1].tool_results.items())]
    content = {"name": "Rob", "mail": "b@c.d", "count": 3, "price": 2.5, "gift": True, "size": "l", "extras": ["sugar"]}
    assert given == [
        {"action": "accept", "content": content},
        {"action": "decline"},
        {"action": "accept"},
        {"action": "cancel"},
    ]
