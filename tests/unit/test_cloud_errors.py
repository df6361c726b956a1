"""From the runtime's texts to typed errors of a creation (contract P14)."""

from __future__ import annotations

import copy
import pickle

import pytest

from missionlink.errors import (
    CloudNotStarted,
    CloudPolicyRefused,
    CloudSessionFailed,
    CloudUnauthorized,
    CloudUnreachable,
    CloudValidationFailed,
    RpcError,
)
from missionlink.session.cloud_errors import cloud_error

PREFIX = "Request session.create failed with message: "


def _failed(detail: str, *, prefix: str = PREFIX) -> CloudSessionFailed:
    return cloud_error(RpcError("session.create", -32603, prefix + detail))


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("No events found for task 7f3c", CloudNotStarted),
        ("The remote agent did not start within 60 s", CloudNotStarted),
        ("Timed out waiting for the task to start", CloudNotStarted),
        ("Request timed out", CloudUnreachable),
        ("Cloud agents are disabled by policy for this organization", CloudPolicyRefused),
        ("policy_blocked", CloudPolicyRefused),
        ("Forbidden", CloudPolicyRefused),
        ("Bad credentials", CloudUnauthorized),
        ("Requires authentication", CloudUnauthorized),
        ("Unauthorized", CloudUnauthorized),
        ("Validation Failed", CloudValidationFailed),
        ("Unprocessable Entity", CloudValidationFailed),
        ("Cannot specify provider when creating a remote session in the cloud.", CloudValidationFailed),
        ("Cloud task metadata omitted sessionId", CloudValidationFailed),
        ("Repository not found", CloudValidationFailed),
        ("error sending request for url (http://127.0.0.1:9/tasks)", CloudUnreachable),
        ("TypeError: fetch failed", CloudUnreachable),
        ("502 Bad Gateway", CloudUnreachable),
        ("Service Unavailable", CloudUnreachable),
        ("Internal Server Error", CloudUnreachable),
    ],
)
@pytest.mark.parametrize("prefix", [PREFIX, ""], ids=["wrapped", "plain"])
def test_each_known_text_has_its_type(detail: str, kind: type[CloudSessionFailed], prefix: str):
    """P14."""
    error = _failed(detail, prefix=prefix)
    assert type(error) is kind
    assert error.runtime_text == detail
    assert detail in str(error)


@pytest.mark.parametrize(
    ("detail", "may_retry"),
    [
        ("No events found for task t", True),
        ("TypeError: fetch failed", True),
        ("Cloud agents are disabled by policy", False),
        ("Bad credentials", False),
        ("Validation Failed", False),
        ("something new", False),
    ],
)
def test_an_error_says_whether_a_retry_can_help(detail: str, may_retry: bool):
    """P14."""
    assert _failed(detail).can_retry is may_retry


@pytest.mark.parametrize("detail", ["something new", "", "\n", "x" * 10_000])
def test_an_unknown_text_is_a_plain_failure_with_the_text(detail: str):
    """P14."""
    error = _failed(detail)
    assert type(error) is CloudSessionFailed
    assert error.runtime_text == detail


def test_a_creation_that_did_not_start_names_the_session_for_a_rescue():
    """P14, P16."""
    assert _failed("No events found for task 7f3c-aa").session_id == "7f3c-aa"
    assert _failed("No events found for task undefined").session_id is None
    assert _failed("No events found for task 7f3c-aa.").session_id == "7f3c-aa"


def test_an_id_that_is_known_already_is_kept():
    """P16."""
    rejected = RpcError("sessions.connect", -32603, "something new")
    assert cloud_error(rejected, "known").session_id == "known"


def test_errors_of_a_creation_survive_copy_and_pickle():
    """style 2.6: batch workers need it."""
    error = _failed("No events found for task T1")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is CloudNotStarted
        assert str(twin) == str(error)
        assert (twin.session_id, twin.runtime_text, twin.can_retry) == ("T1", error.runtime_text, True)
