"""The real npm and a registry on loopback that serves what was never released (contract R1)."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from missionlink.errors import RuntimeInstallFailed
from missionlink.runtime import RELEASES, install, installed, releases
from missionlink.runtime.integrity import tree_digest
from missionlink.runtime.releases import platform_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None or os.name != "posix", reason="needs npm and a POSIX shell"),
    pytest.mark.skipif(platform_key() not in RELEASES[0].packages, reason="no runtime is published for this platform"),
    pytest.mark.timeout(600),
]

NEWEST = RELEASES[0]
STRATEGIES = ("hoisted", "nested", "shallow", "linked")


class Registry:
    """Serves one version of one package, and says of it what npm would check."""

    def __init__(self, name: str, version: str, sign: Path) -> None:
        self.name = name
        self.program = f"#!/bin/sh\ntouch {sign}\necho runtime {version}.\n".encode()
        manifest = {"name": name, "version": version, "scripts": {"install": f"touch {sign}"}, "hasInstallScript": True}
        self.files = {"copilot": self.program, "package.json": json.dumps(manifest).encode()}
        self.tarball = _packed(self.files)
        self.integrity = f"sha512-{base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()}"
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_tarball = self.path == "/tarball"
                dist = {"tarball": f"http://{self.headers['Host']}/tarball", "integrity": registry.integrity}
                versions = {version: {**manifest, "dist": dist}}
                about = {"name": name, "dist-tags": {"latest": version}, "versions": versions}
                body = registry.tarball if is_tarball else json.dumps(about).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/octet-stream" if is_tarball else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    """Is made by whatever the registry serves, if that is run."""
    return tmp_path / "sign"


@pytest.fixture
def registry(sign: Path) -> Iterator[Registry]:
    (package,) = NEWEST.packages[platform_key()]
    registry = Registry(package.name, package.version, sign)
    yield registry
    registry.close()


@pytest.fixture
def environ(tmp_path: Path, registry: Registry) -> dict[str, str]:
    """An npm without the user's settings, whose only registry is ours."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_config")}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    return kept | {
        "HOME": str(tmp_path),
        "MISSIONLINK_CACHE": str(tmp_path / "cache"),
        "npm_config_cache": str(tmp_path / "npm"),
        "npm_config_globalconfig": str(tmp_path / "global"),
        "npm_config_registry": f"http://127.0.0.1:{registry.port}/",
    }


def trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: Registry, **changed: Any) -> None:
    """Make what the registry serves the released package."""
    folder = tmp_path / "released"
    folder.mkdir()
    for name, content in registry.files.items():
        (folder / name).write_bytes(content)
    (package,) = NEWEST.packages[platform_key()]
    sums = {"integrity": registry.integrity, "tree": tree_digest(folder), **changed}
    packages = dict(NEWEST.packages) | {platform_key(): (dataclasses.replace(package, **sums),)}
    monkeypatch.setattr(releases, "RELEASES", (dataclasses.replace(NEWEST, packages=packages),))


def set_up(place: str, setting: str, value: str, environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    if place == "variable":
        return environ | {f"npm_config_{setting.replace('-', '_')}": value}
    file = tmp_path / (".npmrc" if place == "user" else "global")
    file.write_text(f"{setting}={value}\n")
    return environ


@pytest.mark.parametrize(
    ("strategy", "place"),
    [*((strategy, "variable") for strategy in STRATEGIES), ("linked", "user"), ("linked", "global")],
)
def test_a_tampered_runtime_is_neither_installed_nor_run(
    environ: dict[str, str], tmp_path: Path, sign: Path, strategy: str, place: str
) -> None:
    """R1: with "linked" npm does not look at the lock's checksums."""
    given = set_up(place, "install-strategy", strategy, environ, tmp_path)
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=given)
    assert caught.value.reason == "checksum"
    assert not sign.exists()
    assert installed(environ=given) == ()
    folder = tmp_path / "cache" / "runtime" / NEWEST.version
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("install-strategy", strategy) for strategy in STRATEGIES),
        ("global-style", "true"),
        ("legacy-bundling", "true"),
        ("ignore-scripts", "false"),
        ("package-lock", "false"),
        ("shrinkwrap", "false"),
        ("package-lock-only", "true"),
        ("force", "true"),
        ("dry-run", "true"),
        ("global", "true"),
        ("location", "global"),
        ("workspaces", "true"),
        ("json", "true"),
        ("loglevel", "silent"),
        ("bin-links", "true"),
        ("foreground-scripts", "true"),
        ("strict-ssl", "false"),
        ("omit", "dev"),
        ("engine-strict", "true"),
    ],
)
def test_npm_settings_of_the_user_neither_break_an_installation_nor_run_scripts(
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    registry: Registry,
    sign: Path,
    setting: str,
    value: str,
) -> None:
    """R1: and the registry, which is a setting as well, counts."""
    trust(monkeypatch, tmp_path, registry)
    program = install(environ=set_up("variable", setting, value, environ, tmp_path))
    assert program.path.read_bytes() == registry.program
    # The check of its version has run it, once; the install script would have come before.
    sign.unlink()
    assert install(environ=environ) == program
    assert not sign.exists()


def test_no_script_of_a_package_is_run(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: Registry, sign: Path
) -> None:
    """R1: not even where the checksum of the archive is right and that of the files is not."""
    trust(monkeypatch, tmp_path, registry, tree="sha512-AAAA")
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ | {"npm_config_ignore_scripts": "false", "npm_config_foreground_scripts": "true"})
    assert caught.value.reason == "checksum"
    assert not sign.exists()
