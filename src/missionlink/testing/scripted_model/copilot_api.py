"""Serves GitHub's endpoints that runtimes call without a provider: the user, and the list of models.

Only the requests without which no session works are served; runtimes do without the others.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from missionlink.options.loopback import bypassing_proxies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ("AUTO_MODEL", "environment", "routes")

AUTO_MODEL = "picked-by-auto"
"""The model that ``"auto"`` chooses."""

_TOKEN = "loopback-token"
_AUTO_LASTS_S = 3_600
_MEMORY_PATH = "/agents/swe/internal/memory/v0"


def environment(url: str) -> dict[str, str]:
    """Give the variables that make a runtime take the server at this address for GitHub."""
    return {
        "COPILOT_API_URL": url,
        "COPILOT_DEBUG_GITHUB_API_URL": url,
        "COPILOT_SDK_AUTH_TOKEN": _TOKEN,
        **bypassing_proxies(),
    }


def routes(
    model: str,
    complete: Callable[[Request], Awaitable[Response]],
    memories: list[Mapping[str, object]],
    address: Callable[[], str],
) -> list[Route]:
    """Make the routes for a model of this name.

    Args:
        model: Its name.
        complete: Answers completions.
        memories: Facts to remember are added to it.
        address: Gives the address of the server; a request's own word for it is not to be trusted.
    """
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def user(http: Request) -> Response:
        base = address()
        return JSONResponse(
            {
                "login": "developer",
                "copilot_plan": "individual",
                "chat_enabled": True,
                "endpoints": {"api": base, "telemetry": base},
                "analytics_tracking_id": "none",
                "quota_snapshots": {"chat": _quota("chat"), "premium_interactions": _quota("premium_interactions")},
            }
        )

    async def models(http: Request) -> Response:
        return JSONResponse({"data": [_model(model), _model(AUTO_MODEL)]})

    async def choose(http: Request) -> Response:
        return JSONResponse(
            {
                "session_token": _TOKEN,
                "selected_model": AUTO_MODEL,
                "available_models": [AUTO_MODEL],
                "expires_at": int(time.time()) + _AUTO_LASTS_S,
                "discounted_costs": {},
            }
        )

    async def memory(http: Request) -> Response:
        if http.method == "PUT":
            memories.append(await http.json())
            return JSONResponse({})
        if http.url.path.endswith("/enabled"):
            return JSONResponse({"enabled": True})
        # What is remembered is not told again: the model here has no use for it.
        return JSONResponse({"memoriesContext": {"memoriesCount": 0, "prompt": ""}, "voteToolDefinition": {}})

    async def telemetry(http: Request) -> Response:
        return Response(status_code=204)

    return [
        Route("/copilot_internal/user", user, methods=["GET"]),
        Route("/models", models, methods=["GET"]),
        Route("/models/session", choose, methods=["POST"]),
        Route("/chat/completions", complete, methods=["POST"]),
        Route(_MEMORY_PATH + "/{path:path}", memory, methods=["GET", "PUT"]),
        Route("/telemetry", telemetry, methods=["POST"]),
    ]


def _quota(name: str) -> dict[str, object]:
    return {
        "quota_id": name,
        "entitlement": 300,
        "remaining": 240,
        "quota_remaining": 240.0,
        "percent_remaining": 80.0,
        "unlimited": False,
        "overage_count": 0,
        "overage_permitted": False,
    }


def _model(name: str) -> dict[str, object]:
    return {
        "id": name,
        "name": name,
        "object": "model",
        "vendor": "missionlink",
        "version": name,
        "preview": False,
        "model_picker_enabled": True,
        # Without this a runtime may ask in a format that the scripted model does not speak.
        "supported_endpoints": ["/chat/completions"],
        "policy": {"state": "enabled", "terms": ""},
        "billing": {"is_premium": False, "multiplier": 1, "restricted_to": []},
        "capabilities": {
            "family": name,
            "type": "chat",
            "object": "model_capabilities",
            "tokenizer": "o200k_base",
            "limits": {
                "max_context_window_tokens": 128_000,
                "max_output_tokens": 16_384,
                "max_prompt_tokens": 111_616,
            },
            "supports": {"streaming": True, "tool_calls": True, "parallel_tool_calls": True, "vision": True},
        },
    }
