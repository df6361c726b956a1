"""A runtime that sends events without end, and questions among them, whether anybody reads or not.

Run as a program over standard input and output. It answers ``connect``, ``session.create`` and whatever else it is
asked; the first ``session.send`` opens the flood. ``test.report`` says how much has been sent and answered.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

# Of each so many events the last is followed by a question.
EVENTS_TO_A_QUESTION = 500
TEXT = "x" * 1000


def frame(message: dict[str, Any]) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Runtime:
    """Reads in one thread and floods in another; writes of the two do not mix."""

    def __init__(self) -> None:
        self.write_lock = threading.Lock()
        self.session_id = ""
        self.sent = self.asked = self.answered = 0

    def write(self, data: bytes) -> None:
        with self.write_lock:
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]

    def serve(self) -> None:
        stdin = sys.stdin.buffer
        while header := stdin.readline():
            stdin.readline()
            message = json.loads(stdin.read(int(header.split(b":")[1])))
            if "method" not in message:
                self.answered += "result" in message
            elif "id" in message:
                result = self.result(message["method"], message.get("params", {}))
                self.write(frame({"id": message["id"], "result": result}))
                if message["method"] == "session.send":
                    threading.Thread(target=self.flood, daemon=True).start()

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "connect":
            return {"ok": True, "protocolVersion": 3, "version": "1.0.102"}
        if method == "session.create":
            self.session_id = params["sessionId"]
            return {"sessionId": self.session_id}
        if method == "session.send":
            return {"messageId": "m1"}
        if method == "test.report":
            return {"sent": self.sent, "asked": self.asked, "answered": self.answered}
        return {"success": True}

    def flood(self) -> None:
        event = {
            "type": "assistant.message_delta",
            "id": "e",
            "timestamp": "2026-01-01T00:00:00Z",
            "parentId": None,
            "ephemeral": True,
            "data": {"messageId": "m", "deltaContent": TEXT},
        }
        events = frame({"method": "session.event", "params": {"sessionId": self.session_id, "event": event}})
        events *= EVENTS_TO_A_QUESTION
        question = {"sessionId": self.session_id, "question": "?", "choices": [], "allowFreeform": True}
        while True:
            self.asked += 1
            self.write(events + frame({"id": f"q{self.asked}", "method": "userInput.request", "params": question}))
            self.sent += EVENTS_TO_A_QUESTION


if __name__ == "__main__":
    Runtime().serve()
    # The end of the input is the end: the flood is in the middle of a write that nobody may read.
    os._exit(0)
