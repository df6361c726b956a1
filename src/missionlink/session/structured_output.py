"""Structured output: instructions for the agent, and parsing of its answer into a type of the program."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from missionlink.errors import InvalidOption, OutputInvalid
from missionlink.handlers.type_adapters import form_of, placed
from missionlink.session.session import run_within

if TYPE_CHECKING:
    from missionlink.handlers.type_adapters import Form
    from missionlink.session.session import Session
    from missionlink.session.turn_state import TurnResult

__all__ = ("OutputForm", "bare_values_in", "json_in", "run_for_output")

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)


_OPENING = re.compile(r"[\[{]")


# A text full of braces must not be read once for each of them.
_MOST_BRACES = 200


# What models put round a single word.
_MARKS = " \t\r\n*_`'.!"


_Output = TypeVar("_Output")


_INSTRUCTION = "\n\nAnswer with JSON alone, without any other text, that fits this JSON schema:\n"


_REPAIR = "Your last answer does not fit the JSON schema that it has to fit: {problem}\nGive the whole answer again."


def json_in(text: str) -> Iterator[str]:
    """Yield the JSON of an answer: the whole text first, then what is nearest to its end.

    Drafts and examples come before the answer.
    """
    stripped = text.strip("\ufeff \t\r\n")
    yield stripped
    found = [(match.end(1), match[1]) for match in _FENCED.finditer(stripped)]
    # Of two that end at the same place, such as a fence and the object in it, the later one comes first.
    found = sorted([*found, *_values_in(stripped)], key=lambda one: one[0], reverse=True)
    for _, part in found:
        yield part


def bare_values_in(text: str) -> Iterator[str]:
    """Yield as JSON what an answer may be that is no JSON: a text or a word of its own, the whole or its last line."""
    # Imported here: most answers are JSON as a whole.
    import json

    def _is_json(part: str) -> bool:
        try:
            json.loads(part)
        except (ValueError, RecursionError):
            return False
        return True

    stripped = text.strip("\ufeff \t\r\n")
    last = stripped.rpartition("\n")[2]
    for part in dict.fromkeys((stripped, stripped.strip(_MARKS), last.strip(_MARKS))):
        if part and not _is_json(part):
            yield json.dumps(part)
            yield json.dumps(part.lower())
            yield part.lower()


def _values_in(text: str) -> deque[tuple[int, str]]:
    """Return the objects and lists in a text, each with the place of its end."""
    # Imported here: most answers are JSON as a whole.
    import json

    decoder, found, place, broken = json.JSONDecoder(), deque[tuple[int, str]](maxlen=_MOST_BRACES), 0, 0
    while broken < _MOST_BRACES and (opening := _OPENING.search(text, place)):
        try:
            _, place = decoder.raw_decode(text, opening.start())
            found.append((place, text[opening.start() : place]))
        except (ValueError, RecursionError):
            place, broken = opening.end(), broken + 1
    return found


class _Candidate(msgspec.Struct):
    value: msgspec.Raw


class OutputForm(Generic[_Output]):
    """The form that an answer has to have.

    Args:
        output_type: A dataclass, ``msgspec.Struct``, ``TypedDict``, pydantic model or ``TypeAdapter``, or any type that
            these may hold, unions too; or a JSON schema, which is not checked against.

    Raises:
        InvalidOption: There is no JSON schema of it.
    """

    __slots__ = ("_form", "_is_wrapped", "schema")

    def __init__(self, output_type: Any) -> None:
        self._form = _form_of(output_type)
        schema = dict(self._form.schema)
        # Models only answer with objects.
        self._is_wrapped = schema.get("type") != "object"
        if self._is_wrapped:
            parts = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            wrapped = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
            schema = {**wrapped, "additionalProperties": False, **parts}
        self.schema: dict[str, Any] = schema
        """JSON schema with an object at its root."""

    def ask(self, prompt: str) -> str:
        """Return the prompt with what the agent must know of the form."""
        return prompt + _INSTRUCTION + msgspec.json.encode(self.schema).decode()

    def retry_prompt(self, problem: str) -> str:
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
        for part in json_in(text):
            try:
                return self._read_part(part.encode())
            except msgspec.DecodeError as error:
                # Of JSON that does not fit there is more to say than of what is no JSON.
                is_better = isinstance(error, msgspec.ValidationError) > isinstance(problem, msgspec.ValidationError)
                problem = error if problem is None or is_better else problem
            except RecursionError:
                problem = problem or ValueError("the JSON is nested too deeply")
            except Exception as error:  # the program's own class may raise anything
                problem = msgspec.ValidationError(f"{type(error).__name__}: {error}")
        if self._is_wrapped:
            for part in bare_values_in(text):
                try:
                    return cast("_Output", self._form.read(part.encode()))
                except (ValueError, RecursionError):
                    continue
        raise problem or ValueError("there is no JSON in it")

    def _read_part(self, part: bytes) -> _Output:
        if not self._is_wrapped:
            return cast("_Output", self._form.read(part))
        try:
            value = bytes(_parse.decode(part).value)
        except msgspec.ValidationError:
            # Not every model heeds the object that is put round it.
            return cast("_Output", self._form.read(part))
        try:
            return cast("_Output", self._form.read(value))
        except msgspec.ValidationError as inner:
            try:
                # An object that has such a member itself.
                return cast("_Output", self._form.read(part))
            except ValueError:
                raise msgspec.ValidationError(placed(str(inner), ".value")) from inner


_parse = msgspec.json.Decoder(_Candidate)


async def run_for_output(
    prompts: Session,
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
        raise _invalid(problem, prompts.id, first)
    # What was attached has been read.
    again = {name: value for name, value in send.items() if name != "attachments"}
    again = _with_form(form, None, again, is_cloud=prompts.is_cloud)
    second = await run_within(prompts, form.retry_prompt(problem), limits, again, since=started)
    both = _joined(first, second)
    try:
        return _read(form, both)
    except ValueError as error:
        raise _invalid(str(error), prompts.id, both) from error


def _invalid(problem: str, session_id: str, result: TurnResult) -> OutputInvalid:
    error = OutputInvalid(problem, session_id=session_id, text=result.text)
    error.events = tuple(result.events)
    return error


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


def _form_of(output_type: Any) -> Form:
    try:
        if isinstance(output_type, Mapping):
            schema = dict(cast("Mapping[str, Any]", output_type))
            msgspec.json.encode(schema)
            return _Unchecked(schema)
        return form_of(output_type)
    except (TypeError, ValueError, NotImplementedError, NameError, RecursionError) as error:
        raise InvalidOption("output_type", f"{output_type!r} has no JSON schema: {error}") from error


class _Unchecked:
    """A JSON schema that is not checked against."""

    __slots__ = ("schema",)

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema: dict[str, Any] = schema

    def read(self, raw: bytes) -> Any:
        return msgspec.json.decode(raw, type=dict[str, Any])
