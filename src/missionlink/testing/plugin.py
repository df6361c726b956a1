"""Fixtures for users' tests: ``fake_runtime`` and ``model_server``. They need no plugin for async tests.

Options go into markers, as in ``@pytest.mark.fake_runtime(family="1.0.60")``. Nothing of missionlink is imported
before one of the fixtures is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from missionlink.testing import FakeRuntime, ModelServer

__all__ = ("fake_runtime", "model_server")
_failed = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for name in ("fake_runtime", "model_server"):
        config.addinivalue_line("markers", f"{name}(**options): options for the fixture {name}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember failures: a test that failed by itself is not failed again for what it left undone."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


def _options(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    return {key: value for marker in request.node.iter_markers(name) for key, value in marker.kwargs.items()}


@pytest.fixture
def fake_runtime(request: pytest.FixtureRequest) -> Generator[FakeRuntime]:
    """A fake runtime that is checked after the test; enter it with ``async with`` when it listens on sockets."""
    from missionlink.testing import FakeRuntime

    fake = FakeRuntime(**_options(request, "fake_runtime"))
    yield fake
    if not request.node.stash.get(_failed, False):
        fake.check()


@pytest.fixture
def model_server(request: pytest.FixtureRequest) -> Generator[ModelServer]:
    """A scripted model that listens on loopback, in a thread of its own; it is checked after the test."""
    from missionlink.testing.scripted_model.server import serve_in_thread

    with serve_in_thread(**_options(request, "model_server")) as server:
        yield server
    if not request.node.stash.get(_failed, False):
        server.check()
