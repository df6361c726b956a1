"""The table of tested runtimes."""

import base64
import os
import sys

import pytest

from missionlink.errors import InvalidOption
from missionlink.runtime import releases
from missionlink.runtime.installation import npm_lock
from missionlink.runtime.releases import RELEASES, find_release, platform_key


def test_every_package_is_pinned_by_version_and_sha512():
    for release in RELEASES:
        for packages in release.packages.values():
            for package in packages:
                algorithm, _, checksum = package.integrity.partition("-")
                assert algorithm == "sha512"
                assert len(base64.b64decode(checksum, validate=True)) == 64
                assert package.version.count(".") == 2


def test_no_two_packages_share_a_checksum():
    sums = [
        package.integrity
        for release in RELEASES
        for packages in release.packages.values()
        for package in packages
        if package.name != "@github/copilot"
    ]
    assert len(sums) == len(set(sums))


def test_the_newest_release_comes_first_and_runs_on_every_platform():
    versions = [tuple(map(int, release.version.split("."))) for release in RELEASES]
    assert versions == sorted(versions, reverse=True)
    assert len(RELEASES[0].packages) == 8


@pytest.mark.parametrize(("asked", "index"), [(None, 0), ("newest", 0), ("oldest", -1), (RELEASES[-1].version, -1)])
def test_a_release_is_found_by_version_or_by_rank(asked, index):
    assert find_release(asked) is RELEASES[index]


def test_an_untested_version_is_refused_with_the_tested_ones_named():
    with pytest.raises(InvalidOption) as caught:
        find_release("9.9.9")
    assert caught.value.option == "version"
    for release in RELEASES:
        assert release.version in str(caught.value)


def test_the_lock_makes_every_package_a_direct_dependency_and_holds_no_address():
    """An optional package with a wrong checksum is left out by npm without an error."""
    packages = RELEASES[-1].packages["linux-x64"]
    manifest, lock = npm_lock(packages)
    assert manifest["dependencies"] == {package.name: package.version for package in packages}
    assert lock["packages"][""]["dependencies"] == manifest["dependencies"]
    for package in packages:
        assert lock["packages"][f"node_modules/{package.name}"] == {
            "version": package.version,
            "integrity": package.integrity,
        }
    assert "://" not in repr(lock)


@pytest.mark.parametrize(
    ("system", "machine", "libc", "key"),
    [
        ("linux", "x86_64", "glibc 2.36", "linux-x64"),
        ("linux", "aarch64", "glibc 2.36", "linux-arm64"),
        ("linux", "x86_64", None, "linuxmusl-x64"),
        ("darwin", "arm64", None, "darwin-arm64"),
        ("win32", "AMD64", None, "win32-x64"),
        ("freebsd14", "amd64", None, "freebsd14-x64"),
        ("linux", "riscv64", "glibc 2.36", "linux-riscv64"),
    ],
)
def test_the_platform_is_named_as_its_packages_are(monkeypatch, system, machine, libc, key):
    def confstr(_name):
        if libc is None:
            raise ValueError("unrecognized configuration name")
        return libc

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(releases.host, "machine", lambda: machine)
    monkeypatch.setattr(os, "confstr", confstr)
    assert platform_key() == key
