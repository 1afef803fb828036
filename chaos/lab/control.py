"""How a lab is asked: by the same questions as our own nodes and their supervisor.

    over its unix socket                    POST /start/NODE, GET /cluster
    on loopback, below /nodes/NODE          GET /status (its link faults), GET /commands,
                                            POST /commands/cut_link, /heal_link, /reset_links

Why it exists: so that raft-chaos cuts, heals and starts again in one way only. It must not decide anything.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from aiohttp import web

from chaos.lab.links import Direction, Links
from chaos.targets.linkfaults import FAULT_SECONDS_MAX

_DIRECTIONS: dict[str, tuple[Direction, ...]] = {"both": ("out", "in"), "out": ("out",), "in": ("in",)}


class Lab(Protocol):
    """What is asked of the processes."""

    links: Links

    @property
    def nodes(self) -> tuple[str, ...]: ...
    async def start(self, node: str) -> str:
        """Empty where it was started, else why not."""
        ...

    async def answers(self, node: str) -> bool:
        """Whether the node itself does."""
        ...


class _Arguments(msgspec.Struct):
    peer: str
    direction: str = "both"
    seconds: float = FAULT_SECONDS_MAX


def supervisor_app(lab: Lab) -> web.Application:
    """For the unix socket."""

    async def start(request: web.Request) -> web.Response:
        node = request.match_info["node"]
        why = await lab.start(node) if node in lab.nodes else f"there is no node {node}"
        return _json({"ok": not why, "text": why or f"started {node}"})

    async def cluster(_: web.Request) -> web.Response:
        return _json({"nodes": lab.nodes})

    app = web.Application()
    app.add_routes([web.post("/start/{node}", start), web.get("/cluster", cluster)])
    return app


def links_app(lab: Lab) -> web.Application:
    """For loopback."""

    async def status(request: web.Request) -> web.Response:
        told = lab.links.cuts_of(_node(lab, request))
        kinds = {"kind": "cut", "value": 0.0}
        return _json({"faults": [kinds | {"peer": p, "direction": d, "expires_in_ms": s * 1000} for p, d, s in told]})

    async def commands(request: web.Request) -> web.Response:
        if not await lab.answers(node := _node(lab, request)):
            return _json({"error": "no-answer", "message": f"{node} does not answer"}, 503)
        return _json({"enabled_faults": True})

    async def cut(node: str, said: _Arguments) -> None:
        lab.links.cut(node, said.peer, _DIRECTIONS[said.direction], said.seconds)

    async def heal(node: str, said: _Arguments) -> None:
        lab.links.heal(node, said.peer, _DIRECTIONS[said.direction])

    async def reset(node: str, said: _Arguments) -> None:
        lab.links.reset(node, said.peer)

    app = web.Application()
    app.add_routes([web.get("/nodes/{node}/status", status), web.get("/nodes/{node}/commands", commands)])
    for name, act in (("cut_link", cut), ("heal_link", heal), ("reset_links", reset)):
        app.router.add_post(f"/nodes/{{node}}/commands/{name}", _command(lab, act))
    return app


def _command(
    lab: Lab, act: Callable[[str, _Arguments], Awaitable[None]]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        node = _node(lab, request)
        try:
            said = msgspec.json.decode(await request.read(), type=_Arguments)
        except (msgspec.MsgspecError, RecursionError) as error:
            return _json({"error": "bad-arguments", "message": str(error)}, 400)
        known = said.peer in lab.nodes and said.peer != node and said.direction in _DIRECTIONS
        if not known or not 0 < said.seconds <= FAULT_SECONDS_MAX:
            return _json({"error": "bad-arguments", "message": "no such peer, direction or duration"}, 400)
        await act(node, said)
        return _json({"message": "done"})

    return handle


def _node(lab: Lab, request: web.Request) -> str:
    node = request.match_info["node"]
    if node not in lab.nodes:
        raise web.HTTPNotFound(text=f'{{"error": "not-found", "message": "there is no node {node}"}}')
    return node


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
