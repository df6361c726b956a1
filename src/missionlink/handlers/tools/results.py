"""Results of tools, and their conversion to the wire; results of MCP servers too."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, cast, get_args

import msgspec

from missionlink.errors import InvalidOption
from missionlink.protocol.decoding import convert
from missionlink.protocol.json_encoding import encode_json

__all__ = ("Binary", "ToolResult", "failure", "image_type", "read_mcp_result", "result_to_wire")

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
        from missionlink.handlers.tools.results import read_mcp_result

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


class _Resource(msgspec.Struct, rename="camel"):
    uri: str = ""
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None


class _Block(msgspec.Struct, rename="camel"):
    type: str
    text: str = ""
    data: str = ""
    mime_type: str | None = None
    resource: _Resource | None = None
    name: str = ""
    uri: str = ""


class _Result(msgspec.Struct, rename="camel"):
    content: list[_Block] = []
    structured_content: Any = None
    is_error: bool = False


def read_mcp_result(result: object) -> tuple[str, tuple[Binary, ...], bool]:
    """Return the text for the model, what is no text, and whether the call failed.

    Raises:
        InvalidOption: It is no result of a tool.
    """
    dump = getattr(result, "model_dump", None)
    if callable(dump):
        result = dump(mode="json", by_alias=True)
    members = dict(cast("Mapping[str, Any]", result)) if isinstance(result, Mapping) else {}
    if not {"content", "structuredContent"} & set(members):
        raise InvalidOption("result", "is no result of an MCP tool: it has neither content nor structuredContent")
    try:
        read = convert(members, _Result)
        texts: list[str] = []
        binary: list[Binary] = []
        for block in read.content:
            _take(block, texts, binary)
        if not read.content and read.structured_content is not None:
            texts.append(encode_json(read.structured_content).decode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOption("result", f"is no result of an MCP tool: {error}") from error
    return "\n".join(texts), tuple(binary), read.is_error


def _take(block: _Block, texts: list[str], binary: list[Binary]) -> None:
    resource = block.resource
    if block.type == "text":
        texts.append(block.text)
    elif block.type in ("image", "audio"):
        binary.append(Binary(base64.b64decode(block.data, validate=True), block.mime_type or ""))
    elif block.type == "resource" and resource is not None:
        if resource.text is not None:
            texts.append(resource.text)
        if resource.blob is not None:
            data = base64.b64decode(resource.blob, validate=True)
            binary.append(Binary(data, resource.mime_type or "", description=resource.uri or None))
    elif block.type == "resource_link":
        texts.append(f"{block.name}: {block.uri}" if block.name else block.uri)
    else:
        raise ValueError(f"{block.type!r} is no kind of content")
