"""The blocking twin has the names, parameters and defaults of the asynchronous classes, and no others."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import missionlink
from missionlink import blocking
from missionlink._client.lifecycle import LifecycleStream
from missionlink.client import AsyncClient
from missionlink.handlers.pending import Pending, PendingRequest
from missionlink.protocol.namespace import Namespace
from missionlink.session.callback import Subscription
from missionlink.session.prompt_queue import Queue
from missionlink.session.session import Session
from missionlink.session.stream import EventStream
from missionlink.session.turn import Turn
from missionlink.session.ui import Ui

PAIRS: dict[type, type] = {
    AsyncClient: blocking.Client,
    Session: blocking.Session,
    Turn: blocking.Turn,
    EventStream: blocking.EventStream,
    LifecycleStream: blocking.LifecycleStream,
    Subscription: blocking.Subscription,
    Pending: blocking.Pending,
    PendingRequest: blocking.PendingRequest,
    Ui: blocking.Ui,
    Queue: blocking.Queue,
}

NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    (Pending, "__aiter__"): "follow",
    # `wait` is what `await` calls.
    "__await__": "wait",
}
"""What is called otherwise."""

INNER: dict[type, set[str]] = {
    LifecycleStream: {"push", "end"},
}
"""What the package calls itself; not for programs."""

ATTRIBUTES = {LifecycleStream: {"omitted"}}
"""What the original sets in its constructor, and the twin has as a property."""

PROTOCOL = {"__enter__", "__exit__", "__iter__", "__next__", "__len__", "__repr__", "__eq__", "__hash__", "__init__"}

RETURNS = (
    (r"\bSessionOpening\b", "Session"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncGenerator\[(.+), None\]", r"Generator[\1, None, None]"),
    (r"\bAsyncContextManager\b", "ContextManager"),
)
"""How what is returned is called in the twin."""


def public(kind: type, *, made: type | None = None) -> set[str]:
    """Names that programs use, of the class and the bases that are ours."""
    names = {
        name
        for base in kind.__mro__
        if base.__module__.startswith("missionlink")
        for name in base.__dict__
        if not name.startswith("_") or name in PROTOCOL or name in NAMES
    }
    if made is not None:
        names -= INNER.get(made, set())
        names = {NAMES.get((made, name), NAMES.get(name, name)) for name in names}
    return names - {"__init__"}


def ids(pair: tuple[type, type]) -> str:
    return pair[1].__name__


@pytest.mark.parametrize("pair", PAIRS.items(), ids=ids)
def test_each_name_has_its_twin_and_the_reverse(pair):
    asynchronous, twin = pair
    wanted, there = public(asynchronous, made=asynchronous), public(twin)
    assert wanted - there == set(), "missing in the blocking twin: add them to src/missionlink/blocking/"
    if asynchronous is Pending:
        wanted.add("__iter__")
    assert there - wanted - ATTRIBUTES.get(asynchronous, set()) == set(), "only the blocking twin has them"


def methods(pair: tuple[type, type]) -> list[str]:
    asynchronous, twin = pair
    return sorted(
        name
        for name in public(asynchronous) - INNER.get(asynchronous, set())
        if name not in NAMES and (asynchronous, name) not in NAMES and hasattr(twin, name)
    )


CASES = [(pair, name) for pair in PAIRS.items() for name in methods(pair)]


@pytest.mark.parametrize(("pair", "name"), CASES, ids=[f"{pair[1].__name__}.{name}" for pair, name in CASES])
def test_a_method_takes_the_same_and_returns_what_corresponds(pair, name):
    original, twin = (inspect.getattr_static(kind, name) for kind in pair)
    if isinstance(original, property) or not callable(getattr(pair[0], name)):
        # Slots of the one may be properties of the other.
        assert isinstance(twin, property) or not callable(getattr(pair[1], name, None))
        if isinstance(original, property) and isinstance(twin, property):
            assert returned(twin.fget) == translated(returned(original.fget))
        return
    original, twin = (getattr(one, "__func__", one) for one in (original, twin))
    assert parameters(twin) == parameters(original)
    assert not inspect.iscoroutinefunction(twin)
    assert not inspect.isasyncgenfunction(inspect.unwrap(twin))
    assert returned(twin) == translated(returned(original))


def test_a_client_is_made_of_the_same_things():
    assert parameters(blocking.Client.__init__) == parameters(AsyncClient.__init__)


def test_the_twin_is_at_the_root():
    assert missionlink.Client is blocking.Client


def test_the_stub_of_the_methods_has_every_method_without_await():
    """Its text is made by the generator; that nothing is missing is looked up in the classes themselves."""
    stub = ast.parse((Path(blocking.__file__).parent / "rpc.pyi").read_text())
    stubbed = {
        node.name: {one.name for one in node.body if isinstance(one, ast.FunctionDef)} - {"__init__"}
        for node in stub.body
        if isinstance(node, ast.ClassDef)
    }
    assert not [node for node in ast.walk(stub) if isinstance(node, ast.AsyncFunctionDef)]
    from missionlink.rpc import ClientRpc, SessionRpc

    waiting: list[type[Namespace]] = [ClientRpc, SessionRpc]
    seen = 0
    while waiting:
        kind = waiting.pop()
        own = {name for name, one in vars(kind).items() if inspect.iscoroutinefunction(one)}
        if "RootNamespace" in {base.__name__ for base in kind.__mro__}:
            own.add("call")
        assert stubbed[kind.__name__] == own
        seen += len(own)
        for place in kind._children.values():
            module, _, name = place.partition(".")
            waiting.append(getattr(__import__(f"missionlink.protocol.generated.{module}", fromlist=[name]), name))
    assert seen > 500


def parameters(function: object) -> list[tuple[str, object, object]]:
    found = inspect.signature(inspect.unwrap(function)).parameters.values()
    return [(one.name, one.kind, one.default) for one in found if one.name != "self"]


def returned(function: object) -> str:
    return str(inspect.unwrap(function).__annotations__.get("return", "")).strip("'\"")


def translated(annotation: str) -> str:
    for pattern, replacement in RETURNS:
        annotation = re.sub(pattern, replacement, annotation)
    return annotation
