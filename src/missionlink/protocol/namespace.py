"""The base of the generated classes of methods: sends a call, and reads its result.

A result that does not fit its type raises ``UnexpectedResult``, which carries the exact JSON, so that nothing the
runtime said is lost. A result that says ``"success": false`` raises ``OperationFailed`` for the methods where that
means failure; where it is an answer (somebody else was faster, nothing to do) it stays a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, overload

import msgspec
from msgspec import UNSET, Raw

from missionlink.errors import InvalidOption, OperationFailed, UnexpectedResult
from missionlink.protocol.decoding import Reader, read_result
from missionlink.protocol.json_checks import check_json, check_object
from missionlink.protocol.model import JsonResult, OpenJsonResult, decode_json, decoder_for
from missionlink.protocol.timeouts import DEFAULT, Timeout

__all__ = ("Caller", "Namespace", "RootNamespace")

_T = TypeVar("_T")


class Caller(Protocol):
    """What sends requests: the client, or anything that answers like one."""

    async def call(self, method: str, params: Mapping[str, object] | None = None, *, timeout: Timeout = DEFAULT) -> Raw:
        """Send a request and return its result as raw JSON."""
        ...


_decoders: dict[object, Callable[[Raw | bytes], Any]] = {}


class Namespace:
    """Methods with a common first part of their name; deeper names are attributes, loaded on first access."""

    _children: ClassVar[Mapping[str, str]] = {}
    """Attribute -> generated module and class."""

    def __init__(self, caller: Caller, scope: Mapping[str, object]) -> None:
        self._caller = caller
        # Parameters that every call carries: the session's id, in the namespaces of a session.
        self._scope = scope

    if not TYPE_CHECKING:
        # Hidden from type checkers, to which it would make every misspelt name valid.
        def __getattr__(self, name: str) -> Namespace:
            """Load the namespace behind an attribute."""
            place = self._children.get(name)
            if place is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{self._hint(name)}")
            module, _, kind = place.partition(".")
            namespace = getattr(import_module("missionlink.protocol.generated." + module), kind)
            child = self.__dict__[name] = namespace(self._caller, self._scope)
            return child

        def _hint(self, name: str) -> str:
            wanted = _python_name(name)
            return f": it is called {wanted!r} here" if wanted != name and wanted in dir(self) else ""

    def __dir__(self) -> list[str]:
        """Include the namespaces that are not loaded yet."""
        return sorted({*super().__dir__(), *self._children})

    @overload
    async def _call(self, method: str, result: type[_T], params: Mapping[str, object], timeout: Timeout) -> _T: ...
    @overload
    async def _call(self, method: str, result: object, params: Mapping[str, object], timeout: Timeout) -> Any: ...
    async def _call(self, method: str, result: object, params: Mapping[str, object], timeout: Timeout) -> Any:
        return _read(method, result, await self._send(method, params, timeout))

    async def _call_or_fail(self, method: str, result: type[_T], params: Mapping[str, object], timeout: Timeout) -> _T:
        raw = await self._send(method, params, timeout)
        _refuse_failure(method, raw)
        value: _T = _read(method, result, raw)
        return value

    async def _call_for_nothing(self, method: str, params: Mapping[str, object], timeout: Timeout) -> None:
        await self._send(method, params, timeout)

    async def _send(self, method: str, params: Mapping[str, object], timeout: Timeout) -> Raw:
        present = {name: value for name, value in params.items() if value is not UNSET}
        if present:
            _check_arguments(method, present)
        return await self._caller.call(method, {**self._scope, **present}, timeout=timeout)


class RootNamespace(Namespace):
    """The namespace that all others hang on."""

    async def call(self, method: str, params: Mapping[str, object] | None = None, *, timeout: Timeout = DEFAULT) -> Any:
        """Call any method by its wire name and return its result as plain Python values.

        Args:
            method: Full name, for example ``"session.model.getCurrent"``.
            params: Parameters under their wire names; a session adds its own ``sessionId`` unless it is given.
            timeout: Seconds to wait for the answer; ``None`` waits as long as the connection lives. By default the
                client's ``request_timeout``, and none for methods that wait for people, models, MCP servers, downloads
                or logins.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
            UnsupportedByRuntime: The connected runtime does not know the method.
            RpcError: The runtime answered with an error.
            RequestTimeout: No answer came in time.
        """
        if not isinstance(method, str) or not method:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("method", f"must be the name of one, not {method!r}")
        check_object("params", params)
        if timeout is DEFAULT and method in _unlimited():
            timeout = None
        sending = self._caller.call(method, {**self._scope, **(params or {})}, timeout=timeout)
        # Secrets among them are not to be seen in the frame of an error.
        params = None
        return read_result(method, await sending, object)


def _check_arguments(method: str, params: Mapping[str, object]) -> None:
    """Refuse arguments that JSON cannot carry, and a text where a list of texts is meant: Python takes it for one.

    Raises:
        InvalidOption: An argument is such a one.
    """
    for name, value in params.items():
        if not isinstance(value, str):
            check_json(_python_name(name), value)
        elif name in _lists().get(method, ()):
            raise InvalidOption(_python_name(name), f"must be a list of texts, not one text: [{value[:40]!r}]")


def _python_name(wire: str) -> str:
    wire = wire.replace("gitHub", "github")
    parted = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", wire)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", parted).lower()


@cache
def _lists() -> Mapping[str, tuple[str, ...]]:
    from missionlink.protocol.generated.methods import LISTS

    return {method: tuple(names.split()) for method, names in LISTS.items()}


@cache
def _unlimited() -> frozenset[str]:
    from missionlink.protocol.generated.methods import UNLIMITED

    return UNLIMITED


def _read(method: str, result: object, raw: Raw) -> Any:
    decode = _decoders.get(result)
    if decode is None:
        decode = _decoders[result] = decoder_for(result)
    try:
        value = decode(raw)
    except (ValueError, RecursionError) as error:
        raise UnexpectedResult(method, bytes(raw), str(error)) from error
    if isinstance(value, JsonResult | OpenJsonResult):
        vars(value)["raw"] = raw
    return value


class _Outcome(msgspec.Struct):
    success: bool = True
    ok: bool = True
    error: Raw = Raw(b"")


_outcome = Reader[_Outcome](_Outcome)


def _refuse_failure(method: str, raw: Raw) -> None:
    try:
        outcome = _outcome.decode(raw)
    except ValueError:
        # No outcome that could be read: the decoding of the result will say what is wrong, if anything.
        return
    if not (outcome.success and outcome.ok):
        reason = decode_json(outcome.error) if bytes(outcome.error) else None
        raise OperationFailed(method, reason if isinstance(reason, str) else "", decode_json(raw))
