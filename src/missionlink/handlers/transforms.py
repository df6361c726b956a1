"""Functions that rewrite sections of the runtime's instructions, and functions that bring tokens for a provider.

Source: the requests ``systemMessage.transform`` and ``providerToken.getToken``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from missionlink.errors import InvalidOption
from missionlink.protocol.json_text import well_formed
from missionlink.protocol.reader import convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missionlink.handlers.desk import Desk
    from missionlink.handlers.jobs import Entry

__all__ = ("provider_token", "transformed")


class _Section(msgspec.Struct):
    content: str = ""


class _Sections(msgspec.Struct):
    sections: dict[str, _Section] = {}


async def transformed(desk: Desk, params: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Answer ``systemMessage.transform``; a section whose function fails stays as it is."""
    given = convert(params, _Sections)
    answer: dict[str, Any] = {}
    for name, section in given.sections.items():
        answer[name] = {"content": await _section(desk, name, section.content, entry)}
    return {"sections": answer}


async def _section(desk: Desk, name: str, content: str, entry: Entry) -> str:
    function = desk.options.transforms.get(name)
    if function is None:
        return content
    try:
        changed = await desk.ask(function, (content,), entry=entry)
        if not isinstance(changed, str):
            raise InvalidOption("content", f"a transform returned {type(changed).__name__}, not a str")
    except Exception as error:
        desk.failed(f"the transform of {name!r}", error)
        return content
    return well_formed(changed)


async def provider_token(desk: Desk, params: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Answer ``providerToken.getToken``.

    Raises:
        InvalidOption: The function returned no token.
    """
    function = desk.options.on_provider_token
    assert function is not None
    token = await desk.ask(function, (str(params.get("providerName", "default")),), entry=entry)
    if not isinstance(token, str) or not token:
        raise InvalidOption("token", f"on_provider_token returned {type(token).__name__}, not a token")
    if not all("!" <= sign <= "~" for sign in token):
        raise InvalidOption(
            "token", "on_provider_token must return visible ASCII characters without blanks; strip() it"
        )
    return {"token": token}
