"""What a tool returns, and how it goes to the model.

Source: ``session.tools.handlePendingToolCall``. An ``error`` member never reaches the model there, so failures are
results of the kind ``"failure"`` with a text.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, cast, get_args

import msgspec

from missionlink.errors import InvalidOption
from missionlink.protocol.json_text import encode_json

__all__ = ("Binary", "ToolResult", "failure", "image_type", "result_to_wire")

ResultKind = Literal["success", "failure", "rejected", "denied", "timeout"]

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class Binary(msgspec.Struct, frozen=True):
    """Bytes for the model: an image or a file."""

    data: bytes
    """The bytes themselves."""
    mime_type: str = ""
    """Found out for common images if not given, else ``"application/octet-stream"``."""
    description: str | None = None
    """What it is, for people."""

    def __post_init__(self) -> None:
        if not isinstance(self.data, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("data", f"must be bytes, not {type(self.data).__name__}")

    def __repr__(self) -> str:
        return f"Binary({len(self.data)} bytes, {self.type!r})"

    @property
    def type(self) -> str:
        """The MIME type, given or found out."""
        return self.mime_type or image_type(bytes(self.data[:16])) or "application/octet-stream"

    def to_wire(self) -> dict[str, Any]:
        """Return an entry of ``binaryResultsForLlm``."""
        wire = {
            "type": "image" if self.type.startswith("image/") else "resource",
            "data": base64.b64encode(self.data).decode(),
            "mimeType": self.type,
        }
        return wire if self.description is None else {**wire, "description": self.description}


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result with more to it than a text or a value.

    Raises:
        InvalidOption: A field is of the wrong kind.
    """

    text: str = msgspec.field(default="")
    """What the model reads."""
    kind: ResultKind = "success"
    """``"success"``; ``"failure"``, ``"denied"`` and ``"timeout"`` tell the model that it did not work;
    ``"rejected"`` ends the agent's run."""
    binary: Sequence[Binary] = ()
    """Images and files for the model."""
    log: str | None = None
    """What is shown to people in place of ``text``."""
    telemetry: Mapping[str, Any] | None = None
    """Facts for the runtime's telemetry."""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("text", f"must be a str, not {type(self.text).__name__}")
        if self.kind not in get_args(ResultKind):
            raise InvalidOption("kind", f"{self.kind!r} is none of {', '.join(get_args(ResultKind))}")
        if isinstance(self.binary, Binary) or not all(isinstance(one, Binary) for one in self.binary):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("binary", "must be a list of Binary")

    @classmethod
    def from_mcp(cls, result: object) -> ToolResult:
        """Return what a tool of the Model Context Protocol has answered as a result of this tool.

        Texts are joined by line breaks; images, sounds and embedded files become ``binary``; links become texts. Where
        there is no content the structured one is taken. A result with ``isError`` is a failure.

        Args:
            result: A ``CallToolResult`` of the package ``mcp``, or the same as a mapping in wire spelling.

        Raises:
            InvalidOption: It is something else.
        """
        # Imported here: few tools pass on what MCP servers say.
        from missionlink.handlers.mcp_results import read_mcp_result

        text, binary, failed = read_mcp_result(result)
        return cls(text=text, binary=binary, kind="failure" if failed else "success")

    def to_wire(self) -> dict[str, Any]:
        """Return the ``result`` member of the answer."""
        wire: dict[str, Any] = {"textResultForLlm": self.text, "resultType": self.kind}
        if self.binary:
            wire["binaryResultsForLlm"] = [one.to_wire() for one in self.binary]
        if self.log is not None:
            wire["sessionLog"] = self.log
        if self.telemetry is not None:
            wire["toolTelemetry"] = dict(self.telemetry)
        return wire


def failure(text: str) -> dict[str, Any]:
    """Return the result that tells the model what went wrong."""
    return ToolResult(text=text, kind="failure").to_wire()


def result_to_wire(result: object) -> dict[str, Any]:
    """Return the ``result`` member for what a tool returned.

    Raises:
        InvalidOption: It cannot be written as JSON.
    """
    if isinstance(result, str):
        return ToolResult(text=str.__str__(result)).to_wire()
    if result is None:
        return ToolResult(text="(no output)").to_wire()
    if isinstance(result, ToolResult):
        return result.to_wire()
    if isinstance(result, bytes | bytearray | memoryview):
        result = Binary(bytes(cast("bytes", result)))
    if isinstance(result, Binary):
        return ToolResult(text=f"({result.type}, {len(result.data)} bytes)", binary=(result,)).to_wire()
    try:
        return ToolResult(text=encode_json(result, enc_hook=_encode_other).decode()).to_wire()
    except (TypeError, ValueError, RecursionError, NotImplementedError) as error:
        raise InvalidOption("result", f"a tool returned {type(result).__name__}, which is no JSON: {error}") from error


def _encode_other(value: Any) -> Any:
    if isinstance(value, str | PurePath):
        return str.__str__(value) if isinstance(value, str) else str(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise NotImplementedError(f"objects of type {type(value).__name__} cannot be sent")


def image_type(start: bytes) -> str | None:
    """Return the MIME type of a common image by its first 16 bytes, or ``None``."""
    for magic, mime_type in _IMAGES:
        if start.startswith(magic):
            return mime_type
    return "image/webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None
