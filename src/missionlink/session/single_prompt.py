"""A session that is opened for one prompt: what could not be sent to it is refused before it is opened."""

from __future__ import annotations

from typing import Any

from missionlink.errors import InvalidOption
from missionlink.options.checks import check_content
from missionlink.session.turn import check_limits, turn_end

__all__ = ("check_single_prompt",)


def check_single_prompt(
    prompt: object,
    output_type: Any,
    attachments: object,
    timeout: float | None,
    idle_timeout: float | None,
    until: object,
) -> None:
    """Refuse what ``client.run`` could not send.

    Raises:
        InvalidOption: Something is wrong.
    """
    check_limits(timeout, idle_timeout, "abort")
    turn_end({"until": until})
    check_content("prompt", prompt, allow_none=False, allow_empty=True)
    if attachments not in ((), []):
        from missionlink.options.attachments import attachments_to_wire

        attachments_to_wire(attachments, is_cloud=False, runtime_version=None)
    elif not prompt:
        raise InvalidOption("prompt", "must not be empty")
    if output_type is not None:
        from missionlink.session.output import OutputForm

        OutputForm(output_type)
