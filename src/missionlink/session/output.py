"""Answers in a form of the program's own: what is said to the agent about the form, and how its answer is read.

Runtimes from 1.0.81 on pass a JSON schema on to the model, in local sessions. Not every model keeps to it, and older
runtimes know nothing of it, so the prompt says it too; people see the prompt without that.

Source: ``responseFormat`` of ``session.send``.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from missionlink.errors import InvalidOption, OutputInvalid
from missionlink.handlers.tool_schema import decode_other, inlined_schema
from missionlink.session.timed_prompt import run_within

if TYPE_CHECKING:
    from missionlink.session.prompts import Prompts
    from missionlink.session.turn_state import TurnResult

__all__ = ("OutputForm", "run_for_output")

_Output = TypeVar("_Output")

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"[\[{]")
# A text full of braces must not be read once for each of them.
_MOST_BRACES = 200
_ASK = "\n\nAnswer with JSON alone, without any other text, that fits this JSON schema:\n"
_REPAIR = "Your last answer does not fit the JSON schema that it has to fit: {problem}\nGive the whole answer again."


class OutputForm(Generic[_Output]):
    """The form that an answer has to have.

    Args:
        output_type: A dataclass, ``msgspec.Struct``, ``TypedDict``, pydantic model, or any type that these may hold;
            or a JSON schema, which is not checked against.

    Raises:
        InvalidOption: There is no JSON schema of it.
    """

    __slots__ = ("_bare", "_decoder", "_is_wrapped", "schema")

    def __init__(self, output_type: type[_Output] | Mapping[str, Any]) -> None:
        schema, form = _schema_and_form(output_type)
        # Models only answer with objects.
        self._is_wrapped = schema.get("type") != "object"
        self._bare: msgspec.json.Decoder[Any] = msgspec.json.Decoder(form, dec_hook=decode_other)
        if self._is_wrapped:
            parts = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            wrapped = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
            schema = {**wrapped, "additionalProperties": False, **parts}
            form = msgspec.defstruct("Answer", [("value", form)])
        self.schema: dict[str, Any] = schema
        """JSON schema with an object at its root."""
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(form, dec_hook=decode_other)

    def ask(self, prompt: str) -> str:
        """Return the prompt with what the agent must know of the form."""
        return prompt + _ASK + msgspec.json.encode(self.schema).decode()

    def ask_again(self, problem: str) -> str:
        """Return the prompt that follows an answer that does not fit."""
        return self.ask(_REPAIR.format(problem=problem))

    def response_format(self) -> dict[str, Any]:
        """Return the member ``responseFormat``."""
        return {"type": "json_schema", "jsonSchema": {"name": "answer", "schema": self.schema}}

    def read(self, text: str) -> _Output:
        """Read an answer.

        Raises:
            ValueError: It does not fit; the text says where.
        """
        problem: Exception | None = None
        for part in _json_in(text):
            try:
                return self._read_part(part)
            except msgspec.DecodeError as error:
                # Of JSON that does not fit there is more to say than of what is no JSON.
                is_better = isinstance(error, msgspec.ValidationError) > isinstance(problem, msgspec.ValidationError)
                problem = error if problem is None or is_better else problem
            except RecursionError:
                problem = problem or ValueError("the JSON is nested too deeply")
            except Exception as error:  # the program's own class may raise anything
                problem = msgspec.ValidationError(f"{type(error).__name__}: {error}")
        raise problem or ValueError("there is no JSON in it")

    def _read_part(self, part: str) -> _Output:
        try:
            answer = self._decoder.decode(part)
        except msgspec.ValidationError:
            if not self._is_wrapped:
                raise
            try:
                # Not every model heeds the object that is put round it.
                return cast("_Output", self._bare.decode(part))
            except msgspec.DecodeError:
                pass
            raise
        return cast("_Output", answer.value if self._is_wrapped else answer)


async def run_for_output(
    prompts: Prompts,
    prompt: str,
    form: OutputForm[_Output],
    limits: Mapping[str, Any],
    send: Mapping[str, Any],
) -> TurnResult[_Output]:
    """Run a turn whose answer has to have a form, and a second one if it has not.

    Args:
        prompts: The session.
        prompt: As the program gave it.
        form: What the answer has to be.
        limits: Arguments of ``Turn.wait``.
        send: Further arguments of ``send``.

    Raises:
        OutputInvalid: The answer still has not the form, or there is none.
    """
    if not isinstance(prompt, str) or not (prompt or send.get("attachments")):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("prompt", "must be a text that is not empty")
    loop, timeout = asyncio.get_running_loop(), limits["timeout"]
    started = loop.time()
    beside = _with_form(form, prompt, send, is_cloud=prompts.is_cloud)
    first = await run_within(prompts, form.ask(prompt), limits, beside, since=started)
    try:
        return _read(form, first)
    except ValueError as error:
        problem = str(error)
    if first.status == "aborted" or (timeout is not None and started + timeout <= loop.time()):
        raise OutputInvalid(problem, session_id=prompts.id, text=first.text)
    # What was attached has been read.
    again = {name: value for name, value in send.items() if name != "attachments"}
    again = _with_form(form, None, again, is_cloud=prompts.is_cloud)
    second = await run_within(prompts, form.ask_again(problem), limits, again, since=started)
    try:
        return _read(form, _joined(first, second))
    except ValueError as error:
        raise OutputInvalid(str(error), session_id=prompts.id, text=second.text) from error


def _with_form(form: OutputForm[Any], shown: str | None, send: Mapping[str, Any], *, is_cloud: bool) -> dict[str, Any]:
    """Return the arguments of ``send`` with what goes beside the prompt; remote agents are only told in the prompt."""
    if is_cloud:
        return dict(send)
    beside = {"responseFormat": form.response_format(), **({"displayPrompt": shown} if shown else {})}
    return {**send, "extra": {**beside, **(send.get("extra") or {})}}


def _read(form: OutputForm[_Output], result: TurnResult) -> TurnResult[_Output]:
    if result.status == "aborted":
        raise ValueError("the turn was aborted before there was one")
    answered: Any = msgspec.structs.replace(result, output=form.read(result.text))
    return cast("TurnResult[_Output]", answered)


def _joined(first: TurnResult, second: TurnResult) -> TurnResult:
    """Return the second result with what both have used and brought."""
    return msgspec.structs.replace(
        second,
        usage=first.usage + second.usage,
        events=[*first.events, *second.events],
        events_omitted=first.events_omitted + second.events_omitted,
    )


def _schema_and_form(output_type: Any) -> tuple[dict[str, Any], Any]:
    try:
        if isinstance(output_type, Mapping):
            schema = dict(cast("Mapping[str, Any]", output_type))
            msgspec.json.encode(schema)
            return schema, dict[str, Any]
        return inlined_schema(output_type), output_type
    except (TypeError, ValueError, NotImplementedError, NameError, RecursionError) as error:
        raise InvalidOption("output_type", f"{output_type!r} has no JSON schema: {error}") from error


def _json_in(text: str) -> Iterator[str]:
    """Yield the parts of an answer that may be meant: models put JSON into a fence, and sentences round it.

    The whole text comes first, then what is nearest to its end: drafts and examples come before the answer.
    """
    stripped = text.strip("\ufeff \t\r\n")
    yield stripped
    yield from reversed(_FENCED.findall(stripped))
    yield from reversed(_values_in(stripped))


def _values_in(text: str) -> Sequence[str]:
    # Imported here: most answers are JSON as a whole.
    import json

    decoder, found, place, broken = json.JSONDecoder(), deque[str](maxlen=_MOST_BRACES), 0, 0
    while broken < _MOST_BRACES and (opening := _OPENING.search(text, place)):
        try:
            _, place = decoder.raw_decode(text, opening.start())
            found.append(text[opening.start() : place])
        except (ValueError, RecursionError):
            place, broken = opening.end(), broken + 1
    return found
