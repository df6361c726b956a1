"""What must hold for any bytes of a runtime, for coverage-guided fuzzing: ``make torture WHAT=fuzz``, or by hand

    python -m tests.torture.fuzz framing -max_total_time=600

The first argument names a target, the others are libFuzzer's. The corpus grows in ``.cache/fuzz``; what found
something is to be copied, small, into ``tests/torture/corpus``. CI runs the targets over that corpus, and over what
hypothesis makes of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
_LIMIT = 4096


def framing(data: bytes) -> None:
    """Any bytes are frames and at most one failure, and the chunks in which they come make no difference."""
    from missionlink._wire.framing import encode_frame

    # The first byte says how the rest is cut.
    step, stream = (data[0] or 1, data[1:]) if data else (1, b"")
    whole = _frames([stream])
    assert _frames([stream[at : at + step] for at in range(0, len(stream), step)]) == whole
    bodies, failed, held = whole
    assert sum(map(len, bodies)) + (0 if failed else held) <= len(stream)
    again = b"".join(encode_frame(body) for body in bodies)
    assert _frames([again]) == (bodies, False, 0)


def _frames(chunks: list[bytes]) -> tuple[list[bytes], bool, int]:
    from missionlink._wire.framing import FrameDecoder
    from missionlink.errors import RemoteProtocolError

    decoder, bodies = FrameDecoder(_LIMIT), list[bytes]()
    try:
        for chunk in chunks:
            bodies.extend(bytes(body) for body in decoder.receive(chunk))
    except RemoteProtocolError as error:
        assert error.offset >= 0
        assert len(error.excerpt) <= 64
        return bodies, True, 0
    assert decoder.is_mid_frame or not decoder.buffered_bytes
    return bodies, False, decoder.buffered_bytes


def messages(data: bytes) -> None:
    """Any body is a message or says why not, and whatever is answered is JSON."""
    from missionlink.protocol.envelope import EventNotification
    from missionlink.protocol.messages import (
        Malformed,
        Notification,
        Request,
        Response,
        decode_message,
        encode_error,
        session_id_of,
    )

    message = decode_message(data)
    match message:
        case Malformed():
            if message.reply_code is not None:
                json.loads(encode_error(message.reply_id, message.reply_code, message.problem))
        case Request():
            answer = json.loads(encode_error(message.id, -32603, message.method))
            assert type(answer["id"]) in (str, int, float)
            session_id_of(message.params)
        case Response():
            assert [message.result is None, message.error is None, not message.problem].count(False) == 1
            if message.error is not None:
                message.error.decode_data()
        case EventNotification():
            _event(message.params.event)
        case Notification():
            if message.method == "session.event" and bytes(message.params):
                _event_of(message.params)
    _compare(data, message)


def _event_of(params: Any) -> None:
    from missionlink.protocol.envelope import decode_event_params

    _, event = decode_event_params(params)
    _event(event)


def _event(event: Any) -> None:
    assert isinstance(event.type, str)
    # A typed payload, never what the wire made of it.
    assert type(event.data).__module__.startswith("missionlink.")
    assert bytes(event.raw)
    repr(event)


def _compare(data: bytes, message: object) -> None:
    """What Python's own JSON takes for a request with an integer or text as its id is one for us."""
    from missionlink.protocol.messages import Request

    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and isinstance(value.get("method"), str) and type(value.get("id")) in (int, str):
        text = data.decode("utf-8")
        # Lone surrogates, and members that come twice, are read in more than one way.
        if "\\u" not in text and text.count('"id"') == text.count('"method"') == 1 and "\\" not in text:
            assert isinstance(message, Request), message
            assert json.loads(message.id) == value["id"]


def _refuse(constant: str) -> None:
    raise ValueError(constant)


TARGETS: dict[str, Callable[[bytes], None]] = {"framing": framing, "messages": messages}


def main() -> None:
    import atheris

    target = TARGETS[sys.argv.pop(1)]
    with atheris.instrument_imports(include=["missionlink"]):
        import missionlink._wire.framing
        import missionlink.protocol.envelope
        import missionlink.protocol.messages  # noqa: F401

    found = Path(".cache/fuzz") / target.__name__
    found.mkdir(parents=True, exist_ok=True)
    atheris.Setup([*sys.argv, str(found), str(CORPUS / target.__name__)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
