"""The runtime's requests to models in the program's own hands: answer, forward, record or replay them.

Give a function as ``model_requests`` to the client. It gets each HTTP request that the runtime would send to a model,
and returns the response, whole or in pieces.
"""

from missionlink.model_requests.exchange import HttpRequest, HttpResponse, ModelRequestHandler
from missionlink.model_requests.forwarding import Forward
from missionlink.model_requests.recordings import Record, Replay

__all__ = ("Forward", "HttpRequest", "HttpResponse", "ModelRequestHandler", "Record", "Replay")
