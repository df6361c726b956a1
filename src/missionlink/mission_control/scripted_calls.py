"""The remote procedure calls that a scripted worker answers; all others fail by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from missionlink.events import decode_json
from missionlink.mission_control.commands import AskUserResponse, ElicitationResponse, PlanApprovalResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from missionlink.mission_control.scripted_task import ScriptedTask

__all__ = ("ENFORCEMENT_METHOD", "CallFailed", "answer_call")

ENFORCEMENT_METHOD = "session.sandbox.getEnforcementStatus"
"""What runtimes from 1.0.92 on ask before each prompt."""

_MODELS = ("scripted", "scripted-large")
_Params = TypeVar("_Params")


class CallFailed(Exception):
    """A call that has no result; the text goes to the caller."""


class _Model(msgspec.Struct, rename="camel"):
    model_id: str


class _Name(msgspec.Struct):
    name: str


class _UserInput(msgspec.Struct, rename="camel"):
    answer: str
    was_freeform: bool = False


class _UserInputParams(msgspec.Struct, rename="camel"):
    request_id: str
    response: _UserInput


class _Elicitation(msgspec.Struct):
    action: str
    content: dict[str, object] | None = None


class _ElicitationParams(msgspec.Struct, rename="camel"):
    request_id: str
    result: _Elicitation


class _PlanApproval(msgspec.Struct, rename="camel"):
    approved: bool
    selected_action: str | None = None
    feedback: str | None = None


class _PlanApprovalParams(msgspec.Struct, rename="camel"):
    request_id: str
    response: _PlanApproval


async def answer_call(task: ScriptedTask, method: str, params: Mapping[str, object]) -> object:
    """Answer one call.

    Raises:
        CallFailed: The method is not one that a scripted worker knows, or its parameters do not fit.
    """
    answer = _METHODS.get(method)
    if answer is None:
        raise CallFailed(f"the scripted worker does not answer {method}")
    try:
        return await answer(task, params)
    except msgspec.ValidationError as error:
        raise CallFailed(f"the parameters of {method} do not fit: {error}") from error


def _read(params: Mapping[str, object], shape: type[_Params]) -> _Params:
    """Read parameters; null is absent, as everywhere on the wire.

    Raises:
        msgspec.ValidationError: They do not fit.
    """
    return decode_json(msgspec.json.encode(params), shape)


async def _enforcement(task: ScriptedTask, params: Mapping[str, object]) -> object:
    return {"required": False, "blocked": False}


async def _get_model(task: ScriptedTask, params: Mapping[str, object]) -> object:
    return {"modelId": task.model}


async def _switch_model(task: ScriptedTask, params: Mapping[str, object]) -> object:
    chosen = _read(params, _Model).model_id
    previous, task.model = task.model, chosen
    # Runtimes make no event of their own for this.
    unset = {"reasoningEffort": None, "contextTier": None}
    await task.publish("session.model_change", {"previousModel": previous, "newModel": chosen, **unset})
    return {"modelId": chosen}


async def _list_models(task: ScriptedTask, params: Mapping[str, object]) -> object:
    return {"list": [{"id": model, "name": model} for model in _MODELS]}


async def _get_name(task: ScriptedTask, params: Mapping[str, object]) -> object:
    return {"name": task.name}


async def _set_name(task: ScriptedTask, params: Mapping[str, object]) -> object:
    await task.rename(_read(params, _Name).name)
    return None


async def _user_input(task: ScriptedTask, params: Mapping[str, object]) -> object:
    given = _read(params, _UserInputParams)
    answer = AskUserResponse(given.request_id, given.response.answer, given.response.was_freeform)
    return {"success": task.take_answer(answer)}


async def _elicitation(task: ScriptedTask, params: Mapping[str, object]) -> object:
    given = _read(params, _ElicitationParams)
    answer = ElicitationResponse(given.request_id, given.result.action, given.result.content)
    return {"success": task.take_answer(answer)}


async def _plan_approval(task: ScriptedTask, params: Mapping[str, object]) -> object:
    given = _read(params, _PlanApprovalParams)
    response = given.response
    answer = PlanApprovalResponse(given.request_id, response.approved, response.selected_action, response.feedback)
    return {"success": task.take_answer(answer)}


_METHODS: dict[str, Callable[[ScriptedTask, Mapping[str, object]], Awaitable[object]]] = {
    ENFORCEMENT_METHOD: _enforcement,
    "session.model.getCurrent": _get_model,
    "session.model.switchTo": _switch_model,
    "session.model.list": _list_models,
    "session.name.get": _get_name,
    "session.name.set": _set_name,
    "session.ui.handlePendingUserInput": _user_input,
    "session.ui.handlePendingElicitation": _elicitation,
    "session.ui.handlePendingExitPlanMode": _plan_approval,
}
