"""One request that a scripted model was asked, as the test sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from missionlink.testing.clock import Gate
from missionlink.testing.scripted_model.wire import last_prompt, message_text

__all__ = ("ModelRequest", "Outcome")

Outcome = Literal["open", "answered", "failed", "abandoned", "cut"]
"""How a request ended: ``abandoned`` by the client, ``cut`` by the script."""


class ModelRequest:
    """What the runtime asked the model; ``body`` has all of it."""

    def __init__(self, number: int, headers: Mapping[str, str], body: Mapping[str, object]) -> None:
        self.number = number
        """Counts from 1, in order of arrival."""
        self.headers = headers
        """HTTP headers, names in lower case."""
        self.body = body
        """The decoded JSON body."""
        self.outcome: Outcome = "open"
        """``"open"`` while the answer is under way."""
        self._ended = Gate()

    @property
    def model(self) -> str:
        """Name of the model that is asked, empty when the request names none."""
        model = self.body.get("model")
        return model if isinstance(model, str) else ""

    @property
    def messages(self) -> list[Mapping[str, object]]:
        """The conversation so far, oldest first."""
        messages = self.body.get("messages")
        entries = cast("list[object]", messages) if isinstance(messages, list) else []
        return [cast("Mapping[str, object]", entry) for entry in entries if isinstance(entry, Mapping)]

    @property
    def prompt(self) -> str:
        """The last thing that the user said, without the notes that the runtime adds."""
        return last_prompt(self.messages)

    @property
    def system(self) -> str:
        """The text of the system message, empty when there is none."""
        texts = (message_text(m) for m in self.messages if m.get("role") in {"system", "developer"})
        return next(texts, "")

    @property
    def is_stream(self) -> bool:
        """Whether the answer is to be streamed."""
        return self.body.get("stream") is True

    @property
    def reports_usage(self) -> bool:
        """Whether the stream is to end with the counts of tokens."""
        options = self.body.get("stream_options")
        return isinstance(options, Mapping) and cast("Mapping[str, object]", options).get("include_usage") is True

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools that the model is offered."""
        tools = self.body.get("tools")
        names: list[str] = []
        for tool in cast("list[object]", tools) if isinstance(tools, list) else []:
            function = cast("Mapping[str, object]", tool).get("function") if isinstance(tool, Mapping) else None
            name = cast("Mapping[str, object]", function).get("name") if isinstance(function, Mapping) else None
            if isinstance(name, str):
                names.append(name)
        return tuple(names)

    @property
    def tool_results(self) -> dict[str, str]:
        """Text of each tool result in the conversation, by id of the call."""
        results = (m for m in self.messages if m.get("role") == "tool")
        return {str(m.get("tool_call_id")): message_text(m) for m in results}

    def end(self, outcome: Outcome) -> None:
        """Record how the answer ended; the first report counts."""
        if self.outcome == "open":
            self.outcome = outcome
            self._ended.open()

    async def ended(self, timeout: float = 30.0) -> Outcome:
        """Wait until the answer is complete, cut or abandoned, and return which."""
        await self._ended.wait(timeout)
        return self.outcome

    def __repr__(self) -> str:
        # Neither headers nor the whole body: they hold keys, and prompts of tens of kilobytes.
        about = f"after {len(self.messages)} messages: {self.prompt[:60]!r}"
        return f"<ModelRequest {self.number} {self.outcome} {about}>"
