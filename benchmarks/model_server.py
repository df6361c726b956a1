"""A loopback model server for the real runtime: streams a given number of tokens, as fast as it is read.

It speaks the part of the OpenAI chat completions protocol that the runtime uses: one POST, answered with
server-sent events. Plain blocking sockets and ready-made bytes, in a process of its own, so that it costs the
measured process nothing.

Started as ``python -m benchmarks.model_server --tokens 10000``; prints its base URL on one line, then serves
until its standard input ends.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading

__all__ = ("main", "stream_body")

_HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_WORDS = ("the", "stream", "of", "tokens", "goes", "on", "and", "every", "one", "counts", "naïve", "\n")


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def stream_body(tokens: int) -> bytes:
    """Return the whole event stream of one answer with ``tokens`` content chunks."""
    parts = [_chunk({"role": "assistant", "content": ""})]
    parts += [_chunk({"content": f" {_WORDS[n % len(_WORDS)]}"}) for n in range(tokens)]
    parts.append(_chunk({}, "stop"))
    usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens + 10}
    last = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "bench"}
    parts.append(b"data: " + json.dumps({**last, "choices": [], "usage": usage}).encode() + b"\n\n")
    parts.append(b"data: [DONE]\n\n")
    return b"".join(parts)


def tool_call_body(number: int) -> bytes:
    """Return the event stream of an answer that calls the shell tool once."""
    arguments = json.dumps({"command": f"echo round {number}", "description": "print a line"})
    function = {"name": "bash", "arguments": arguments}
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
    text = [_chunk({"role": "assistant", "content": ""})]
    text += [_chunk({"content": word}) for word in ("Running", " the", " next", " command", ".")]
    return b"".join([*text, _chunk({"tool_calls": [call]}), _chunk({}, "tool_calls"), b"data: [DONE]\n\n"])


def _read_request(peer: socket.socket) -> bytes:
    """Read one HTTP request to its end and return its body, empty when there was none."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = peer.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    while missing > 0:
        more = peer.recv(min(missing, 1 << 20)) or b" " * missing
        body += more
        missing -= len(more)
    return body


def _serve(peer: socket.socket, answer: bytes, tool_rounds: int) -> None:
    with peer:
        body = _read_request(peer)
        rounds_done = body.count(b'"role":"tool"')
        if body:
            peer.sendall(_HEADER + tool_call_body(rounds_done) if rounds_done < tool_rounds else answer)


def main() -> None:
    """Serve on a free loopback port until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--tool-rounds", type=int, default=0, help="answers with a tool call before the text")
    options = parser.parse_args()
    answer = _HEADER + stream_body(options.tokens)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)

    def accept() -> None:
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_serve, args=(peer, answer, options.tool_rounds), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
