"""Forms that the program itself puts to the user of the session: yes or no, a choice, a text, or data of a type.

They go through the runtime to the session's ``on_elicitation`` handlers, to ``session.pending``, or to another client
of the same session.

Source: ``session.ui.elicitation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import msgspec

from missionlink.errors import InvalidOption, UnexpectedResult, UnsupportedByRuntime
from missionlink.protocol.decoding import read_result
from missionlink.protocol.json_encoding import encode_json, well_formed

if TYPE_CHECKING:
    from missionlink.handlers.type_adapters import Form
    from missionlink.session.core import SessionCore

__all__ = ("Ui",)

_Data = TypeVar("_Data")

_METHOD = "session.ui.elicitation"
_FIELD_TYPES = ("string", "number", "integer", "boolean", "array")


class _Response(msgspec.Struct):
    action: Literal["accept", "decline", "cancel"] | str
    content: dict[str, Any] | None = None


class Ui:
    """Asks the user; made by ``session.ui``. Each method returns ``None`` when the user declined or went away.

    The methods wait for the answer for as long as it takes, unless ``timeout`` says otherwise.

    Raises:
        UnsupportedByRuntime: Nobody can answer: the session was opened without ``on_elicitation``, or is in the cloud.
        RequestTimeout: No answer came in time; the question stays open.
    """

    __slots__ = ("_core",)

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    async def confirm(self, message: str, *, timeout: float | None = None) -> bool | None:
        """Ask for yes or no."""
        content = await self._request(message, _object(answer={"type": "boolean", "title": message}), timeout)
        return None if content is None else self._checked(content.get("answer"), bool)

    async def select(self, message: str, choices: Sequence[str], *, timeout: float | None = None) -> str | None:
        """Ask for one of several texts."""
        if isinstance(choices, str) or not choices or not all(isinstance(one, str) for one in choices):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("choices", "must be a list of str with at least one entry")
        # The answer comes back as it was shown, and JSON cannot carry every text of Python.
        shown = {well_formed(one): one for one in choices}
        content = await self._request(message, _object(answer={"type": "string", "enum": list(shown)}), timeout)
        if content is None:
            return None
        answer = self._checked(content.get("answer"), str)
        if answer not in shown:
            raise UnexpectedResult(_METHOD, msgspec.json.encode(content), f"{answer!r} is none of the choices")
        return shown[answer]

    async def input(self, message: str, *, default: str | None = None, timeout: float | None = None) -> str | None:
        """Ask for a text."""
        wanted: dict[str, Any] = {"type": "string", "title": message}
        if default is not None:
            wanted["default"] = default
        content = await self._request(message, _object(answer=wanted), timeout)
        return None if content is None else self._checked(content.get("answer"), str)

    @overload
    async def form(self, message: str, wanted: type[_Data], *, timeout: float | None = None) -> _Data | None: ...
    @overload
    async def form(
        self, message: str, wanted: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any] | None: ...

    async def form(self, message: str, wanted: Any, *, timeout: float | None = None) -> Any:
        """Ask for several values at once.

        Args:
            message: What it is about.
            wanted: A dataclass, ``msgspec.Struct`` or ``TypedDict`` with fields of simple types; the answer is one.
                Or a JSON schema of an object; the answer is a dictionary then, not validated.
            timeout: Seconds; no limit if not given.

        Raises:
            InvalidOption: Forms cannot show such data.
            UnexpectedResult: What was filled in does not fit.
        """
        if isinstance(wanted, Mapping):
            return await self._request(message, dict(cast("Mapping[str, Any]", wanted)), timeout)
        form = _form_of(wanted)
        content = await self._request(message, _shown(wanted, form.schema), timeout)
        if content is None:
            return None
        raw = encode_json(content)
        try:
            return form.read(raw)
        except ValueError as error:
            raise UnexpectedResult(_METHOD, raw, str(error)) from error

    async def _request(self, message: str, schema: Mapping[str, Any], timeout: float | None) -> dict[str, Any] | None:
        if not isinstance(message, str) or not message:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("message", "must be a text that is not empty")
        core = self._core
        core.check_open()
        if core.cloud is not None:
            # Newer runtimes know not the method there; older ones take the form and never answer.
            raise UnsupportedByRuntime(_METHOD, core.link.runtime_version, options=("a cloud session",))
        capabilities = cast("Mapping[str, Any]", core.facts.capabilities.get("ui") or {})
        if not capabilities.get("elicitation"):
            raise UnsupportedByRuntime(_METHOD, core.link.runtime_version, options=("on_elicitation",))
        params = {"sessionId": core.id, "message": message, "requestedSchema": schema}
        result = await core.call(_METHOD, params, timeout=timeout)
        answer: _Response = read_result(_METHOD, result, _Response)
        return (answer.content or {}) if answer.action == "accept" else None

    @staticmethod
    def _checked(value: object, wanted: type[_Data]) -> _Data:
        try:
            return msgspec.convert(value, wanted)
        except ValueError as error:
            raise UnexpectedResult(_METHOD, msgspec.json.encode(value), str(error)) from error


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _form_of(wanted: Any) -> Form:
    # Imported here: it is needed for forms of a type only.
    from missionlink.handlers.type_adapters import form_of

    try:
        return form_of(wanted)
    except (TypeError, ValueError, NotImplementedError, NameError, RecursionError) as error:
        raise InvalidOption("wanted", f"{wanted!r} has no JSON schema: {error}") from error


def _shown(wanted: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a class, as far as forms can show it: one level of simple fields."""
    properties: Any = schema.get("properties")
    if schema.get("type") != "object" or not properties:
        raise InvalidOption("wanted", f"{wanted!r} is no class with fields")
    defs = schema.get("$defs", {})
    fields = {name: _field(name, entry, defs) for name, entry in properties.items()}
    return {"type": "object", "properties": fields, "required": schema.get("required", [])}


def _field(name: str, entry: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    field = dict(entry)
    if "$ref" in field:
        field = {**defs.get(str(field.pop("$ref")).rpartition("/")[2], {}), **field}
    options = [one for one in field.pop("anyOf", ()) if one != {"type": "null"}]
    if len(options) == 1:
        field = {**options[0], **field}
    if "enum" in field:
        field.setdefault("type", "string")
    if field.get("type") not in _FIELD_TYPES:
        raise InvalidOption("wanted", f"a form cannot show the field {name!r}: use text, numbers, bool or choices")
    return field
