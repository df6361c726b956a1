"""Tools of this program that the agent can call: plain functions, with what the model must know of them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

import msgspec

from missionlink._error_texts import did_you_mean
from missionlink.errors import InvalidOption
from missionlink.handlers.signatures import check_arguments, is_generator, is_unbound_method
from missionlink.handlers.tools.context import ToolCall, ToolContext, ToolError
from missionlink.handlers.tools.schema import (
    Signature,
    docstring_of,
    field_defaults,
    injected_names,
    plain_function,
    read_object,
    signature_of,
)

__all__ = ("Tool", "ToolCall", "ToolContext", "ToolError", "ToolSettings", "tool", "tools_by_name")

_P = ParamSpec("_P")
_Q = ParamSpec("_Q")
_R = TypeVar("_R")

# What model servers accept as the name of a function.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ToolSettings(TypedDict, total=False):
    """What can be said of a tool besides its function."""

    name: str
    """Name for the model; the function's own if not given."""
    description: str
    """What it does, for the model; the docstring if not given."""
    schema: Mapping[str, Any]
    """JSON schema of the arguments, in place of the one made from the annotations; nothing is validated then."""
    timeout: float | None
    """Seconds after which the model learns that it took too long; ``None`` for no limit."""
    skip_permission: bool
    """Whether it runs without a permission request."""
    override: bool
    """Whether it takes the place of a tool of the runtime with the same name."""
    defer: Literal["auto", "never"] | None
    """Whether the runtime may keep it from the model until it is searched for (from 1.0.81 on)."""
    terminal: bool
    """Whether it runs commands in a terminal (from 1.0.81 on)."""
    namespace: str | None
    """Group of tools that belong together, for models that know groups (from 1.0.81 on)."""
    metadata: Mapping[str, Any] | None
    """Facts for other clients of the session, in wire spelling (from 1.0.81 on)."""


@dataclass(frozen=True, kw_only=True)
class Tool(Generic[_P, _R]):
    """A tool that the agent can call; made by ``tool``.

    Without a function it is declared only: its calls wait in ``session.pending``.

    Raises:
        InvalidOption: A field is of the wrong kind.
    """

    name: str
    """Name for the model."""
    description: str
    """What it does, for the model."""
    schema: Mapping[str, Any] = field(repr=False)
    """JSON schema of the arguments."""
    function: Callable[_P, _R] | None = None
    """What runs; ``None`` for a tool that is only declared."""
    timeout: float | None = None
    """Seconds after which the model learns that it took too long; ``None`` for no limit."""
    skip_permission: bool = False
    """Whether it runs without a permission request."""
    override: bool = False
    """Whether it takes the place of a tool of the runtime with the same name."""
    defer: Literal["auto", "never"] | None = None
    """Whether the runtime may keep it from the model until it is searched for (from 1.0.81 on)."""
    terminal: bool = False
    """Whether it runs commands in a terminal (from 1.0.81 on)."""
    namespace: str | None = None
    """Group of tools that belong together, for models that know groups (from 1.0.81 on)."""
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    """Facts for other clients of the session, in wire spelling (from 1.0.81 on)."""
    is_method: bool = field(default=False, repr=False)
    """Whether it was made of a method in the body of a class: the tool is ``agent.method`` of an object ``agent``."""
    signature: Signature | None = field(default=None, repr=False, compare=False)
    """How arguments are read; ``None`` takes any object."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("name", f"{self.name!r} is no name of a tool: 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
        if not isinstance(self.description, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("description", f"must be a str, not {type(self.description).__name__}")
        if not isinstance(self.schema, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("schema", f"must be a mapping, not {type(self.schema).__name__}")
        if self.function is not None and not callable(self.function):
            raise InvalidOption("function", f"must be a function, not {type(self.function).__name__}")
        _check_timeout(self.timeout)
        if self.defer not in (None, "auto", "never"):
            raise InvalidOption("defer", f"{self.defer!r} is none of auto, never")
        if self.namespace is not None and not (isinstance(self.namespace, str) and _NAME.fullmatch(self.namespace)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("namespace", f"{self.namespace!r} is no name: 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
        if self.metadata is not None and not isinstance(self.metadata, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("metadata", f"must be a mapping, not {type(self.metadata).__name__}")
        for option in ("description", "schema", "metadata"):
            _check_json(option, getattr(self, option))
        if self.schema.get("type", "object") != "object":
            raise InvalidOption("schema", f"has the type {self.schema['type']!r}; arguments are always an object")
        for option in ("skip_permission", "override", "terminal"):
            if not isinstance(getattr(self, option), bool):
                raise InvalidOption(option, f"must be True or False, not {getattr(self, option)!r}")

        if self.function is not None and self.signature is None and not self.is_method:
            check_arguments("function", self.function, self.schema, self.injected)

    @overload
    def __get__(self, instance: None, owner: type[Any], /) -> Tool[_P, _R]: ...
    @overload
    def __get__(
        self: Tool[Concatenate[Any, _Q], _R], instance: object, owner: type[Any] | None = None, /
    ) -> Tool[_Q, _R]: ...

    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Tool[..., Any]:
        """Return the tool of an object, where this one was made of a method in the body of its class."""
        if instance is None or not self.is_method:
            return self
        function: Any = MethodType(cast("Callable[..., Any]", self.function), instance)
        return replace(cast("Tool[..., Any]", self), function=function, is_method=False)

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call the function, as if it were no tool."""
        if self.function is None:
            raise TypeError(f"the tool {self.name!r} is declared only, it has no function")
        if self._field_defaults:
            given: Any = inspect.signature(self.function).bind_partial(*args, **kwargs).arguments
            missing: Any = {name: make() for name, make in self._field_defaults.items() if name not in given}
            return self.function(*args, **kwargs, **missing)
        return self.function(*args, **kwargs)

    def to_wire(self) -> dict[str, Any]:
        """Return the entry of ``tools``."""
        wire: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "parameters": self.schema,
            "skipPermission": self.skip_permission or None,
            "overridesBuiltInTool": self.override or None,
            "defer": self.defer,
            "isTerminal": self.terminal or None,
            "namespace": None if self.namespace is None else {"name": self.namespace},
            "metadata": self.metadata,
        }
        return {name: value for name, value in wire.items() if value is not None}

    def read_arguments(self, raw: bytes) -> dict[str, Any]:
        """Return the arguments of a call by name.

        Raises:
            ValueError: They do not fit; the text is for the model.
        """
        if self.signature is not None:
            return self.signature.read(raw)
        arguments = msgspec.json.decode(read_object(raw), type=dict[str, Any])
        function = cast("Callable[..., Any]", self.function)
        try:
            # A name that is given twice is refused here: the context is no matter of the model.
            inspect.signature(function).bind(**dict.fromkeys(self.injected), **arguments)
        except TypeError as error:
            raise ValueError(str(error)) from error
        try:
            missing = {name: make() for name, make in self._field_defaults.items() if name not in arguments}
        except TypeError as error:
            raise ValueError(str(error)) from error
        return {**arguments, **missing}

    @functools.cached_property
    def _field_defaults(self) -> dict[str, Callable[[], Any]]:
        """What makes the defaults that are written as ``pydantic.Field(...)``: Python would hand over the ``Field``."""
        return {} if self.function is None else field_defaults(self.function)

    @functools.cached_property
    def injected(self) -> list[str]:
        """Names of the function's parameters that get the context of the call."""
        if self.signature is not None:
            return self.signature.injected
        return [] if self.function is None else injected_names(self.function, self.name, ToolContext)


@overload
def tool(function: Callable[_P, _R], /, **settings: Unpack[ToolSettings]) -> Tool[_P, _R]: ...
@overload
def tool(**settings: Unpack[ToolSettings]) -> Callable[[Callable[_P, _R]], Tool[_P, _R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **settings: Unpack[ToolSettings]) -> Any:
    """Make a tool of a function; with or without settings, as a decorator or called.

    The JSON schema comes from the annotations, descriptions of the parameters from ``Annotated[int, "text"]``,
    ``msgspec.Meta`` or the docstring. A parameter annotated with ``ToolContext`` gets the call's context and is no
    part of the schema. Plain functions run in threads, coroutine functions in the event loop.

    The model gets what the function returns: a text, or anything that JSON can say; ``bytes`` or ``Binary`` for
    images and files; ``ToolResult`` for more. ``ToolError`` tells it why a call failed; of other exceptions it
    learns the class only.

    Raises:
        InvalidOption: The signature or a setting makes no sense.
    """
    known = ToolSettings.__annotations__
    for name in settings:
        if name not in known:
            raise InvalidOption(name, f"is no setting of a tool{did_you_mean(name, known)}")
    if function is None:
        return functools.partial(_made, settings=settings)
    return _made(function, settings)


def _check_timeout(timeout: object) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise InvalidOption("timeout", f"must be a number greater than 0, not {timeout!r}")


def _check_json(option: str, value: object) -> None:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOption(option, f"cannot be written as JSON: {error}") from error


def _made(function: Callable[..., Any], settings: ToolSettings) -> Tool[..., Any]:
    if isinstance(function, Tool):
        raise InvalidOption("tool", f"{function.name!r} is a tool already")
    if not callable(function) or inspect.isclass(function):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("tool", f"must be a function, not {function!r}")
    plain = plain_function(function)
    if is_generator(function):
        raise InvalidOption("tool", f"{function!r} is a generator: a tool returns its result as a whole")
    given = dict(settings)
    name = given.pop("name", None)
    if name is None:
        name = type(function).__name__ if plain.__name__ == "__call__" else plain.__name__
    schema = given.pop("schema", None)
    is_method = is_unbound_method(function)
    # Of a method without its object.
    read: Callable[..., Any] = functools.partial(function, None) if is_method else function
    signature = None if schema is not None else signature_of(read, str(name), ToolContext)
    described = signature.description if signature is not None else docstring_of(function)
    fields: dict[str, Any] = {
        "name": name,
        "description": given.pop("description", None) or described or str(name),
        "schema": schema if signature is None else signature.schema,
        "function": function,
        "is_method": is_method,
        "signature": signature,
        **given,
    }
    return Tool(**fields)


def tools_by_name(option: str, tools: object) -> dict[str, Tool[..., Any]]:
    """Return tools by name; plain functions become tools.

    Raises:
        InvalidOption: Something is no tool, or two have the same name.
    """
    if isinstance(tools, str | bytes) or not isinstance(tools, Sequence):
        raise InvalidOption(option, f"must be a list of tools, not {tools!r}")
    found: dict[str, Tool[..., Any]] = {}
    for entry in cast("Sequence[Any]", tools):  # type: ignore[redundant-cast]
        if entry is None:
            raise InvalidOption(option, "has an entry that is no tool: None")
        try:
            one = cast("Tool[..., Any]", entry) if isinstance(entry, Tool) else tool(entry)
        except InvalidOption as error:
            raise InvalidOption(option, f"has an entry that is no tool: {error}") from error
        if one.is_method:
            raise InvalidOption(option, f"{one.name!r} is a method: give that of an object, as in 'agent.{one.name}'")
        if one.name in found:
            raise InvalidOption(option, f"has two tools with the name {one.name!r}")
        found[one.name] = one
    return found
