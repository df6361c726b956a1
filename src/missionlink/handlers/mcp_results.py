"""Reads what tools of the Model Context Protocol answer.

Source: ``CallToolResult`` of the protocol, revisions 2024-11-05 to 2025-11-25.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from missionlink.errors import InvalidOption
from missionlink.handlers.tool_results import Binary
from missionlink.protocol.json_text import encode_json
from missionlink.protocol.reader import convert

__all__ = ("read_mcp_result",)


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
