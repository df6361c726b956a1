"""Proxies: what our helpers say about this machine, and what errors say of a proxy."""

from __future__ import annotations

import os

import pytest

from missionlink import ClientOptions
from missionlink.options.loopback import bypassing_proxies, with_proxy_hint

ALL = "127.0.0.1,localhost,::1"
REFUSED = "error sending request for url (http://127.0.0.1:1/x)"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("outer", "value"),
    [
        ({}, ALL),
        ({"NO_PROXY": ""}, ALL),
        ({"NO_PROXY": "internal.example"}, f"internal.example,{ALL}"),
        ({"no_proxy": "a, b"}, f"a,b,{ALL}"),
        ({"NO_PROXY": "a", "no_proxy": "b,a"}, f"a,b,{ALL}"),
        ({"NO_PROXY": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
        ({"no_proxy": "a,*"}, "*"),
    ],
)
def test_exceptions_are_added_to_those_that_there_are(outer: dict[str, str], value: str) -> None:
    assert bypassing_proxies(outer=outer) == {"NO_PROXY": value, "no_proxy": value}


def test_another_host_can_be_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "a")
    assert bypassing_proxies("127.0.0.9")["no_proxy"] == f"a,{ALL},127.0.0.9"
    assert bypassing_proxies("::1")["no_proxy"] == f"a,{ALL}"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_failed_connection_names_the_proxy_but_not_its_password(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    proxy = "http://user:s3cret-pw@proxy.example:8080"
    for options in (ClientOptions(env={name: proxy}), ClientOptions(env={name: proxy}, inherit_env=False)):
        text = with_proxy_hint(REFUSED, options)
        assert name in text
        assert "NO_PROXY" in text
        assert "s3cret" not in text
    monkeypatch.setenv(name, proxy)
    assert name in with_proxy_hint("TypeError: fetch failed", ClientOptions())
    assert with_proxy_hint(REFUSED, ClientOptions(inherit_env=False)) == REFUSED
    assert with_proxy_hint(REFUSED, ClientOptions(env={name: ""})) == REFUSED
    assert with_proxy_hint(REFUSED, ClientOptions(url="127.0.0.1:1")) == REFUSED
    assert with_proxy_hint("the model is overloaded", ClientOptions()) == "the model is overloaded"


def test_without_a_proxy_an_error_is_left_as_it_is() -> None:
    assert with_proxy_hint(REFUSED, ClientOptions()) == REFUSED
