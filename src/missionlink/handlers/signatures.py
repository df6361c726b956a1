"""Checks of the shape of a function, when it is given: handlers and callbacks take one argument, tools several by name.

Found out at the first request, a function of the wrong shape would have denied or lost it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, cast

from missionlink.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ("check_arguments", "check_shape", "is_generator", "is_unbound_method")


def check_shape(option: str, function: Callable[..., Any], takes: str) -> None:
    """Refuse a function that cannot be called with one argument, or that is a generator.

    Functions whose shape cannot be told, as of some built-in ones, pass.

    Args:
        option: Names the function in the error.
        function: Something callable.
        takes: What it is called with, for the error: ``"the UserInputRequest"``.

    Raises:
        InvalidOption: It has another shape.
    """
    if _takes_one(function):
        if is_generator(function):
            raise InvalidOption(option, f"must return its result: {_name(function)} is a generator, without 'yield'")
        return
    try:
        signature = _signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None)
    except TypeError:
        pass
    else:
        if is_generator(function):
            raise InvalidOption(option, f"must return its result: {_name(function)} is a generator, without 'yield'")
        return
    bare = signature.replace(
        parameters=[one.replace(annotation=one.empty) for one in signature.parameters.values()],
        return_annotation=signature.empty,
    )
    problem = f"must take one argument, {takes}; {_name(function)} takes {bare}"
    if next(iter(signature.parameters), "") == "self":
        problem += ": give a method of an object, not of its class"
    raise InvalidOption(option, problem)


def check_arguments(
    option: str, function: Callable[..., Any], schema: Mapping[str, Any], injected: Collection[str]
) -> None:
    """Refuse a function that cannot be called with what a JSON schema describes, by name.

    Args:
        option: Names the function in the error.
        function: Something callable.
        schema: Of an object; one that names no properties allows any.
        injected: Parameters that are given besides.

    Raises:
        InvalidOption: It has another shape.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return
    described = schema.get("properties")
    names = set(cast("Mapping[str, Any]", described)) if isinstance(described, Mapping) else None
    taken: set[str] = set()
    for one in parameters:
        is_needed = one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        if one.kind is one.POSITIONAL_ONLY and is_needed:
            raise InvalidOption(option, f"parameter {one.name!r} of {_name(function)} cannot be given by name")
        if names is not None and is_needed and one.name not in names and one.name not in injected:
            raise InvalidOption(option, f"{_name(function)} needs {one.name!r}, which is not in the schema")
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            taken.add(one.name)
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    for name in sorted((names or set()) - taken):
        raise InvalidOption(option, f"{_name(function)} does not take {name!r}, which is in the schema")


def is_unbound_method(function: Callable[..., Any]) -> bool:
    """Whether a function stands in the body of a class, and takes the object first."""
    if not isinstance(function, FunctionType):
        return False
    holder = function.__qualname__.rpartition(".")[0]
    if not holder or holder.endswith("<locals>"):
        return False
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.name in ("self", "cls") and first.annotation is first.empty


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether a plain function or method surely takes one argument; looking at signatures takes much longer."""
    bound = 0
    if isinstance(function, MethodType):
        function, bound = function.__func__, 1
    if type(function) is not FunctionType or hasattr(function, "__signature__") or hasattr(function, "__wrapped__"):
        return False
    code = function.__code__
    if code.co_kwonlyargcount > len(function.__kwdefaults__ or ()):
        return False
    least = code.co_argcount - len(function.__defaults__ or ()) - bound
    most = code.co_argcount - bound
    return least <= 1 and (most >= 1 or bool(code.co_flags & inspect.CO_VARARGS))


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return what a function takes; one that takes anything and wraps another one takes what that one does.

    Raises:
        TypeError, ValueError: It cannot be told.
    """
    signature = inspect.signature(function, follow_wrapped=False)
    kinds = [one.kind for one in signature.parameters.values()]
    if kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
        return inspect.signature(function)
    return signature


def is_generator(function: Callable[..., Any]) -> bool:
    """Whether calling a function, or a callable object, makes a generator."""
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, FunctionType | MethodType):
        call = inspect.getattr_static(type(function), "__call__", None)
        function = call if isinstance(call, FunctionType) else function
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__
