"""The list of the public names is what the package has, and leaves nothing without a word."""

from __future__ import annotations

import sys
from pathlib import Path

import missionlink

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from renew_api_reference import GROUPS, PAGE, render  # noqa: E402  # pyright: ignore[reportMissingImports]


def test_the_page_is_up_to_date() -> None:
    assert render() == PAGE.read_text(), "run python scripts/renew_api_reference.py"


def test_each_public_name_stands_in_one_group() -> None:
    listed = " ".join(GROUPS.values()).split()
    assert sorted([*listed, "MissionlinkError", "__version__"]) == sorted(missionlink.__all__)


def test_everything_public_is_described() -> None:
    """Contract: a public docstring for each name and each field."""
    assert [line for line in PAGE.read_text().splitlines() if line.endswith("|  |")] == []
