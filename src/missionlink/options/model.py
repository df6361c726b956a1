"""Options of the model: its provider, and its instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from missionlink.errors import InvalidOption
from missionlink.options.checks import (
    check_choice,
    check_content,
    check_flag,
    check_headers,
    check_members,
    check_positive,
    check_text,
    check_token,
    check_word,
    named_fields,
)
from missionlink.protocol.sensitive import shown_address

__all__ = ("Provider", "SystemMessage")


@named_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A model server of your own (bring your own key)."""

    base_url: str
    """Address of the API, for example ``"http://127.0.0.1:8000/v1"``."""
    type: Literal["openai", "azure", "anthropic"] = "openai"
    """Which API it speaks."""
    api_key: str | None = field(default=None, repr=False)
    """Key sent with each request."""
    bearer_token: str | None = field(default=None, repr=False)
    """Token sent instead of a key."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Further headers of each request."""
    wire_api: Literal["completions", "responses"] | None = None
    """Which of OpenAI's interfaces is spoken."""
    wire_model: str | None = None
    """Name that the server is asked for, where it differs from the session's ``model``, whichever that is."""
    model_id: str | None = None
    """Name of the model, where the session has no ``model``. Beside a ``model`` it means the same as ``wire_model``."""
    vision: bool | None = None
    """Whether the model can see. Runtimes cannot find that out, and give images that tools return only to a model of
    which this is ``True``."""
    max_prompt_tokens: int | None = None
    """Most tokens of a prompt."""
    max_output_tokens: int | None = None
    """Most tokens of an answer."""
    api_version: str | None = None
    """Azure only: version of the API."""

    def __post_init__(self) -> None:
        check_text("base_url", self.base_url, allow_none=False)
        if not self.base_url.startswith(("http://", "https://")):
            raise InvalidOption(
                "base_url", f"must begin with http:// or https://, not {shown_address(self.base_url)[:20]!r}"
            )
        check_choice("type", self.type, ("openai", "azure", "anthropic"), allow_none=False)
        check_choice("wire_api", self.wire_api, ("completions", "responses"))
        for option in ("api_key", "bearer_token"):
            check_token(option, getattr(self, option))
        for option in ("wire_model", "model_id", "api_version"):
            check_word(option, getattr(self, option))
        if self.headers is not None:
            check_headers("headers", self.headers)
        check_flag("vision", self.vision)
        for option in ("max_prompt_tokens", "max_output_tokens"):
            check_positive(option, getattr(self, option), whole=True)

    def __repr__(self) -> str:
        shown = [f"type={self.type!r}", f"base_url={shown_address(str(self.base_url))!r}"]
        others = ("wire_api", "wire_model", "model_id", "max_prompt_tokens", "max_output_tokens", "api_version")
        shown += [f"{option}={value!r}" for option in others if (value := getattr(self, option)) is not None]
        return f"Provider({', '.join(shown)})"

    def to_wire(self, model: str | None = None) -> dict[str, Any]:
        """Return the ``provider`` member.

        Args:
            model: The session's ``model``. Newer runtimes only heed a ``modelId`` that is the same, and no runtime
                finds a model by ``wireModel`` alone.
        """
        model_id, wire_model = self.model_id, self.wire_model
        if model is None:
            model_id = model_id or wire_model
        elif model_id is not None and model_id != model:
            model_id, wire_model = None, wire_model or model_id
        wire: dict[str, Any] = {
            "type": self.type,
            "baseUrl": self.base_url,
            "apiKey": self.api_key,
            "bearerToken": self.bearer_token,
            "headers": dict(self.headers) if self.headers is not None else None,
            "wireApi": self.wire_api,
            "modelId": model_id,
            "wireModel": wire_model,
            "maxPromptTokens": self.max_prompt_tokens,
            "maxOutputTokens": self.max_output_tokens,
            "azure": {"apiVersion": self.api_version} if self.api_version else None,
        }
        return {name: value for name, value in wire.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """What is said to the agent before the first prompt; made by ``append``, ``replace`` and ``customize``."""

    mode: Literal["append", "replace", "customize"]
    """How the text meets the runtime's own instructions."""
    content: str | None = None
    """The text."""
    sections: Mapping[str, Mapping[str, str]] | None = None
    """With ``customize``: what happens to each section, in wire spelling."""

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, ("append", "replace", "customize"), allow_none=False)
        check_content("content", self.content, allow_none=self.mode == "customize", allow_empty=True)
        check_members("sections", self.sections, of_objects=True)

    @classmethod
    def append(cls, content: str) -> SystemMessage:
        """Add a text to the runtime's own instructions."""
        return cls("append", content)

    @classmethod
    def replace(cls, content: str) -> SystemMessage:
        """Give a text instead of the runtime's own instructions."""
        return cls("replace", content)

    @classmethod
    def customize(cls, sections: Mapping[str, Mapping[str, str]], content: str | None = None) -> SystemMessage:
        """Change single sections, for example ``{"tone": {"action": "replace", "content": "Be brief."}}``."""
        return cls("customize", content, sections)

    def to_wire(self) -> dict[str, Any]:
        """Return the ``systemMessage`` member."""
        wire: dict[str, Any] = {"mode": self.mode, "content": self.content, "sections": self.sections}
        return {name: value for name, value in wire.items() if value is not None}
