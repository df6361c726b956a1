"""Wire bytes of the measured streams: what the fake runtime sends and what the limits are measured with.

The frames look like those of runtime 1.0.102: the same members in the same order, the same sizes, and an id of its
own for every event. Only the standard library is used, so that the fake runtime starts fast.
"""

from __future__ import annotations

import json
import os.path
from itertools import cycle, islice

__all__ = ("RECORDING", "agentic", "deltas", "frame", "idle", "large", "large_text", "request", "started")

RECORDING = os.path.join(os.path.dirname(__file__), "recorded_events.jsonl")

_WORDS = ("the", "stream", "of", "tokens", "goes", "on", "and", "every", "one", "counts", "naïve", "\\n")
_EVENT = b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"%b","event":%b}}'
_TAIL = (
    b',"id":"%08x-1b9d-4bad-9bdd-2b0d7b3d%04x","timestamp":"2026-11-22T%02d:%02d:%02d.%03dZ",'
    b'"parentId":"9b30d97b-ea3f-4854-af97-74eeb20419d8"}'
)
_DELTA = (
    b'{"type":"assistant.message_delta","data":{"messageId":"82c8be4c-adda-47bb-96fd-66a1ea4ad00c","deltaContent":" '
)
_IDLE = b'{"type":"session.idle","data":{"mode":"interactive"},"ephemeral":true'
_LARGE = b'{"type":"assistant.message","data":{"messageId":"82c8be4c-adda-47bb-96fd-66a1ea4ad00c","content":"'
# A line of source text as models write it: escapes, quotes, indentation and a little that is not ASCII.
_LINE = '    label = "Größe: {0}"  # the caller\'s name for it: «kept» as it is\n'
_REQUESTS = {
    "userInput.request": '"question":"Which colour?","choices":["red","blue"],"allowFreeform":true',
    "hooks.invoke": (
        '"hookType":"preToolUse","input":{"sessionId":"SESSION","timestamp":1795377015032,"cwd":"/w",'
        '"toolName":"bash","toolArgs":{"command":"echo hi","description":"print a line"}}'
    ),
    "sessionFs.readFile": '"path":"/state/plan.md"',
}


def frame(body: bytes) -> bytes:
    """Return the body with its header."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _tail(number: int) -> bytes:
    # One in a millisecond: a runtime's events are never older than those before them.
    seconds, milliseconds = divmod(number, 1000)
    minutes, seconds = divmod(seconds, 60)
    time = minutes // 60 % 24, minutes % 60, seconds, milliseconds
    return _TAIL % (number >> 16, number & 0xFFFF, *time)


def deltas(session: bytes, count: int, first: int = 0) -> list[bytes]:
    """Return ``count`` frames of ``assistant.message_delta``, numbered from ``first``."""
    heads = [_DELTA + word.encode() + b'"},"ephemeral":true' for word in _WORDS]
    numbered = zip(range(first, first + count), cycle(heads), strict=False)
    return [frame(_EVENT % (session, head + _tail(number))) for number, head in numbered]


def agentic(session: bytes, count: int) -> list[bytes]:
    """Return a mixture as of an agent at work: four deltas in five, the rest from the recorded turn."""
    with open(RECORDING, encoding="utf-8") as file:
        texts = file.read().splitlines()
    left_out = ("_delta", '"session.idle"', '"session.start"')
    others = [text for text in texts if len(text) < 4000 and not any(part in text for part in left_out)]
    # The recorded bytes stay as they are but for the id, which is the event's own.
    cut = [(event, json.loads(event)["id"]) for event in others]
    halves = [tuple(part.encode() for part in event.split(f'"id":"{own}"', 1)) for event, own in cut]
    recorded = cycle(halves)
    frames = deltas(session, count)
    for number in range(4, count, 5):
        before, after = next(recorded)
        own = b'"id":"%08x-1b9d-4bad-9bdd-2b0d7b3d%04x"' % (number >> 16, number & 0xFFFF)
        frames[number] = frame(_EVENT % (session, before + own + after))
    return frames


def large_text(size: int) -> str:
    """Return text of about ``size`` bytes on the wire, after escaping."""
    line = json.dumps(_LINE, ensure_ascii=False)[1:-1].encode()
    return "".join(islice(cycle((_LINE,)), max(1, size // len(line))))


def large(session: bytes, count: int, size: int) -> list[bytes]:
    """Return ``count`` frames of ``assistant.message`` of about ``size`` bytes each."""
    content = json.dumps(large_text(size), ensure_ascii=False)[1:-1].encode()
    head = _LARGE + content + b'"},"ephemeral":true'
    return [frame(_EVENT % (session, head + _tail(number))) for number in range(count)]


def started(session: bytes) -> bytes:
    """Return the frame that says that a session has started; cloud sessions take prompts from then on."""
    data = b'"sessionId":"%b","version":1,"producer":"copilot-agent","copilotVersion":"1.0.102",' % session
    when = b'"startTime":"2026-11-22T19:50:14.907Z"'
    return frame(_EVENT % (session, b'{"type":"session.start","data":{%b%b}' % (data, when) + _tail(0xFFFE0000)))


def idle(session: bytes, number: int = 0) -> bytes:
    """Return the frame that ends a stream."""
    return frame(_EVENT % (session, _IDLE + _tail(0xFFFF0000 + number)))


def request(method: str, session: bytes) -> tuple[bytes, bytes]:
    """Return what stands before and after the id in the body of an inbound request."""
    params = _REQUESTS[method].replace("SESSION", session.decode())
    after = f',"method":"{method}","params":{{"sessionId":"{session.decode()}",{params}}}}}'
    return b'{"jsonrpc":"2.0","id":', after.encode()
