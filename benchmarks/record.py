"""Record the events of one turn of a real runtime as ``recorded_events.jsonl``.

The turn has shell calls, permissions and streamed text. What the runtime's makers or this machine wrote into
it (prompts, tool descriptions, paths) is replaced by filler of the same length: types, fields, sizes and escapes
stay.

    python -m benchmarks.record --runtime PATH
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ("main",)

_FILLER = 'Plain words stand in for a text of the same length; it has "quotes",\nlines and naïve signs. '
_FREE_TEXT = re.compile(r"[\s/\\]|^.{65,}$")
# Times, media types, and the paths of model services, which have a closed set of values in some SDKs.
_KEPT = re.compile(r"^(?:\d{4}-\d\d-\d\dT[\d:.]+Z|(?:image|text|application)/[\w.+-]+|/chat/completions|/responses)$")
# Free text that the turn itself made, so that the recording still tells what happened.
_OURS = re.compile(r"^(?: ?[\w.]+|echo round \d|print a line|round \d\n.*)$", re.DOTALL)


def _scrub(value: Any) -> Any:
    """Replace every free text by filler of the same length, at any depth."""
    if isinstance(value, dict):
        return {("x" * len(k) if "/" in k else k): _scrub(item) for k, item in value.items()}
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if not isinstance(value, str) or _KEPT.match(value) or _OURS.match(value) or not _FREE_TEXT.search(value):
        return value
    return (_FILLER * (len(value) // len(_FILLER) + 1))[: len(value)]


def _messages(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    while header := stream.readline():
        stream.readline()
        yield json.loads(stream.read(int(header.partition(b":")[2])))


def _turn(runtime: str, model_url: str, home: str) -> Iterator[dict[str, Any]]:
    """Play the turn and yield its events."""
    flags = ["--headless", "--no-auto-update", "--log-level", "error", "--no-auto-login", "--stdio"]
    environment = {"HOME": home, "COPILOT_HOME": f"{home}/state", "PATH": os.environ["PATH"]}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = subprocess.Popen([runtime, *flags], env=environment, cwd=home, **pipes)  # type: ignore[call-overload]
    session = str(uuid.uuid4())

    def call(number: int, method: str, params: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        child.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        child.stdin.flush()

    provider = {"type": "openai", "wireApi": "completions", "baseUrl": model_url, "apiKey": "none"}
    common = {"sessionId": session, "streaming": True, "model": "bench", "provider": provider}
    call(1, "connect", {})
    call(2, "session.create", {**common, "requestPermission": True})
    for message in _messages(child.stdout):
        if message.get("id") == 2:
            call(3, "session.send", {"sessionId": session, "prompt": "run the commands, then tell the story"})
        event = message.get("params", {}).get("event")
        if message.get("method") != "session.event" or event is None:
            continue
        yield event
        if event["type"] == "permission.requested":
            answer = {"requestId": event["data"]["requestId"], "result": {"kind": "approve-once"}}
            call(4, "session.permissions.handlePendingPermissionRequest", {"sessionId": session, **answer})
        if event["type"] == "session.idle":
            break
    child.stdin.close()
    child.wait(10)


def main() -> None:
    """Play one turn against the given runtime and write the recording."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runtime", required=True, help="program of the runtime")
    parser.add_argument("--tokens", type=int, default=60)
    options = parser.parse_args()
    server = [sys.executable, "-m", "benchmarks.model_server", "--tool-rounds", "3"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen([*server, "--tokens", str(options.tokens)], text=True, **pipes) as model,  # type: ignore[call-overload]
    ):
        events = [_scrub(event) for event in _turn(options.runtime, model.stdout.readline().strip(), home)]
        model.stdin.close()
    target = Path(__file__).with_name("recorded_events.jsonl")
    lines = (json.dumps(event, ensure_ascii=False, separators=(",", ":")) for event in events)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(events)} events of {len({event['type'] for event in events})} types, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
