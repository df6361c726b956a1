"""Check of the shape of a function, at the moment when it is given: all handlers and callbacks take one argument.

Found out at the first request, a function of the wrong shape would have denied or lost it.
"""

from __future__ import annotations

import functools
import inspect
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from missionlink.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("check_shape",)


def check_shape(option: str, function: Callable[..., Any], takes: str) -> None:
    """Refuse a function that cannot be called with one argument, or that is a generator.

    Functions whose shape cannot be told, as of some built-in ones, pass.

    Args:
        option: Names the function in the error.
        function: Something callable.
        takes: What it is called with, for the error: ``"the Question"``.

    Raises:
        InvalidOption: It has another shape.
    """
    if _takes_one(function):
        if _is_generator(function):
            raise InvalidOption(option, f"must return its result: {_name(function)} is a generator, without 'yield'")
        return
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None)
    except TypeError:
        pass
    else:
        if _is_generator(function):
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


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether a plain function or method surely takes one argument; looking at signatures takes much longer."""
    bound = 0
    if isinstance(function, MethodType):
        function, bound = function.__func__, 1
    if type(function) is not FunctionType or hasattr(function, "__signature__"):
        return False
    code = function.__code__
    if code.co_kwonlyargcount > len(function.__kwdefaults__ or ()):
        return False
    least = code.co_argcount - len(function.__defaults__ or ()) - bound
    most = code.co_argcount - bound
    return least <= 1 and (most >= 1 or bool(code.co_flags & inspect.CO_VARARGS))


def _is_generator(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__
