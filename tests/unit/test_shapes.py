"""Functions of the wrong shape are refused when they are given, by the name of the option (contract G1)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from missionlink import PENDING, ClientOptions, Command, Hooks, Permissions, SessionOptions, nonblocking
from missionlink.errors import InvalidOption
from missionlink.handlers.hooks.registration import HOOK_KINDS
from missionlink.options.session import HANDLERS


def one(given: Any) -> Any: ...
def one_and_a_default(given: Any, other: Any = 1) -> Any: ...
def any_number(*given: Any) -> Any: ...
def with_keywords(given: Any, *, other: Any = 1, **more: Any) -> Any: ...
async def one_later(given: Any) -> Any: ...
def two(request: Any, invocation: Any) -> Any: ...
async def two_later(request: Any, invocation: Any) -> Any: ...
def none() -> Any: ...
def needs_keyword(given: Any, *, other: Any) -> Any: ...
def only_keywords(**given: Any) -> Any: ...


def generator(given: Any) -> Any:
    yield given


async def asynchronous_generator(given: Any) -> Any:
    yield given


class Methods:
    def one(self, given: Any) -> Any: ...
    def two(self, given: Any, other: Any) -> Any: ...
    async def one_later(self, given: Any) -> Any: ...
    @staticmethod
    def static(given: Any) -> Any: ...
    @classmethod
    def of_class(cls, given: Any) -> Any: ...


class Called:
    def __call__(self, given: Any) -> Any: ...


class CalledWithTwo:
    async def __call__(self, given: Any, other: Any) -> Any: ...


def adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def adapter(given: Any) -> Any:
        return function(given, 1)

    return adapter


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*given: Any, **named: Any) -> Any:
        return function(*given, **named)

    return wrapper


class Generates:
    def __call__(self, given: Any) -> Any:
        yield given


class GeneratesLater:
    async def __call__(self, given: Any) -> Any:
        yield given


RIGHT: dict[str, Any] = {
    "one": one,
    "a default": one_and_a_default,
    "any number": any_number,
    "keywords": with_keywords,
    "coroutine function": one_later,
    "quick": nonblocking(lambda given: None),
    "lambda": lambda given: None,
    "method": Methods().one,
    "coroutine method": Methods().one_later,
    "static method": Methods.static,
    "static method of an object": Methods().static,
    "class method": Methods.of_class,
    "object": Called(),
    "adapter": adapted(two),
    "wrapper": traced(one),
    "wrapper of a coroutine method": traced(Methods().one_later),
    "partial": functools.partial(two, 1),
    "partial by name": functools.partial(two, invocation=1),
    "partial of a method": functools.partial(Methods().two, other=1),
    "print": print,
    "len": len,
    "max": max,
    "append": [].append,
    "fromkeys": dict.fromkeys,
}
WRONG: dict[str, Any] = {
    "two": two,
    "two, coroutine function": two_later,
    "none": none,
    "a keyword needed": needs_keyword,
    "only keywords": only_keywords,
    "lambda": lambda: None,
    "method": Methods().two,
    "method of a class": Methods.one,
    "object": CalledWithTwo(),
    "partial": functools.partial(two),
    "partial with all": functools.partial(one, 1),
    "generator": generator,
    "asynchronous generator": asynchronous_generator,
    "wrapper of two": traced(two),
    "wrapper of none": traced(none),
    "wrapper of a coroutine function": traced(two_later),
    "generating object": Generates(),
    "asynchronously generating object": GeneratesLater(),
    "partial of a generating object": functools.partial(Generates()),
    "divmod": divmod,
}

PLACES: dict[str, Callable[[Any], object]] = {
    **{option: lambda given, option=option: SessionOptions(**{option: given}) for option in HANDLERS},
    "on_request['x.y']": lambda given: SessionOptions(on_request={"x.y": given}),
    "transforms['tone']": lambda given: SessionOptions(transforms={"tone": given}),
    "commands['go']": lambda given: SessionOptions(commands={"go": given}),
    "function": Command,
    "ask": Permissions.ask,
    "otherwise": lambda given: Permissions.allow(read=True).otherwise(given),
    **{name: lambda given, name=name: getattr(Hooks(), name)(given) for name in HOOK_KINDS},
}
del PLACES["on_provider_token"]  # it needs a provider besides


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.parametrize("function", WRONG.values(), ids=WRONG)
def test_a_function_that_cannot_be_called_with_one_argument_is_refused(place: str, function: Any) -> None:
    with pytest.raises(InvalidOption) as refused:
        PLACES[place](function)
    assert refused.value.option == place
    assert "must take one argument, the" in str(refused.value) or "must return its result" in str(refused.value)


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.parametrize("function", RIGHT.values(), ids=RIGHT)
def test_whatever_can_be_called_with_one_argument_is_taken(place: str, function: Any) -> None:
    PLACES[place](function)


@pytest.mark.parametrize("function", [two, none, needs_keyword, generator])
def test_on_error_and_the_token_have_their_shape_too(function: Any) -> None:
    with pytest.raises(InvalidOption, match="on_error"):
        ClientOptions(on_error=function)
    with pytest.raises(InvalidOption, match="on_provider_token"):
        SessionOptions(on_provider_token=function)


def test_the_error_says_what_the_function_is_called_with_and_what_it_takes() -> None:
    with pytest.raises(InvalidOption) as refused:
        SessionOptions(on_permission=two)
    assert str(refused.value) == (
        "on_permission: must take one argument, the PermissionRequest; two takes (request, invocation)"
    )
    with pytest.raises(InvalidOption, match="give a method of an object, not of its class"):
        SessionOptions(on_user_input=Methods.one)


def test_answering_later_is_no_function_and_is_taken() -> None:
    assert SessionOptions(on_permission=PENDING).on_permission is PENDING
