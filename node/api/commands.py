"""`/commands`: what an operator may tell a node to do, here or, over one hop, on another node.

Why it exists: HTTP's side of `node.runtime.commands`: one JSON object of arguments in, one honest status code out. It
must not know what a command does.
"""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from node.api.answers import Problem, json_answer, malformed, try_again
from node.api.etcd.users import Users
from node.api.inputs import Query, short_body, target_of
from node.api.named import settled
from node.runtime.commands import COMMANDS, CommandSpec, find
from node.runtime.ports import CommandOutcome, NodeHandle

ARGUMENTS_BYTES_MAX = 4096
"""A longer JSON object of arguments is refused."""

TIMEOUT_US_DEFAULT = 5_000_000
"""A command on another node is of unknown outcome after this, where the request names no `timeout_ms`."""


class CommandsApi:
    """Handlers of `/commands`. `faults_enabled`: whether this node was started with --enable-faults."""

    def __init__(self, handle: NodeHandle, faults_enabled: bool, users: Users) -> None:
        self._handle, self._users = handle, users
        self._faults_enabled = faults_enabled

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [web.get("/commands", self.list), web.post("/commands/{name}", self.command)]

    async def list(self, _request: web.Request) -> web.Response:
        """Every command with its arguments."""
        return json_answer(
            {"enabled_faults": self._faults_enabled, "commands": [_described(spec) for spec in COMMANDS]}
        )

    async def command(self, request: web.Request) -> web.Response:
        """Carry one out; `?node=NAME` names another node."""
        _, _, query_text = target_of(request)
        query = Query(query_text, ("node", "timeout_ms"))
        node = query.bytes("node").decode("utf-8", "replace")
        timeout_us = query.timeout_us() or TIMEOUT_US_DEFAULT
        arguments = await _arguments(request, timeout_us)
        name = request.match_info["name"]
        began = asyncio.get_running_loop().time()
        await self._settle(find(name), node not in ("", self._handle.status().core.name), timeout_us // 2)
        timeout_us = max(1, timeout_us - int((asyncio.get_running_loop().time() - began) * 1e6))
        outcome = await self._handle.command(name, arguments, timeout_us, node)
        if outcome.code == "ok":
            return json_answer({"ok": True, **_named(outcome), "message": outcome.message, "data": outcome.data})
        raise _problem(outcome)

    async def _settle(self, spec: CommandSpec | None, elsewhere: bool, timeout_us: int) -> None:
        """Before what others feel. Raises `Problem`. What only shows waits for nobody."""
        if spec is not None and not spec.changes:
            return
        of_all, unled = (spec.of_all, spec.unled) if spec is not None else (False, False)
        if elsewhere:
            waits = of_all or not unled
        else:  # where nobody leads, a node refuses a change of members by itself
            waits = of_all and bool(self._handle.status().core.leader)
            waits = waits and not (unled and self._handle.readiness().caught_up)
        if waits:
            await settled(self._users, self._handle, timeout_us, strictly=of_all and not unled)


def _problem(outcome: CommandOutcome) -> Problem:
    more: dict[str, Any] = {"ok": False, **_named(outcome)}
    match outcome.code:
        case "malformed":
            return Problem(400, "malformed", outcome.message, field=outcome.field, **more)
        case "faults-disabled":
            return Problem(403, outcome.code, outcome.message, **more)
        case "unknown-command" | "unknown-node":
            return Problem(404, outcome.code, outcome.message, **more)
        case "unknown":
            return Problem(504, "unknown outcome", outcome.message, **more)
        case "no-link" | "overloaded" | "stopping":
            problem = try_again(outcome.code, outcome.message)
            problem.body.update(more)
            return problem
    return Problem(409, "refused", outcome.message, **more)


def _named(outcome: CommandOutcome) -> dict[str, str]:
    return {"command": outcome.command[:64], "node": outcome.node[:64]}


async def _arguments(request: web.Request, timeout_us: int) -> dict[str, object]:
    """The body: a JSON object, or nothing; Content-Type is not looked at."""
    body = await short_body(request, "body", ARGUMENTS_BYTES_MAX, timeout_us / 1e6)
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (ValueError, RecursionError):
        raise malformed("body", 'the body is no JSON object of arguments such as {"peer": "n2"}') from None


def _described(spec: CommandSpec) -> dict[str, object]:
    arguments: list[dict[str, object]] = []
    for argument in spec.arguments:
        row: dict[str, object] = {
            "name": argument.name,
            "type": argument.type,
            "required": argument.required,
            "default": argument.default,
            "help": argument.help,
        }
        if argument.type == "choice":
            row["choices"] = argument.choices
        if argument.type == "number":
            row |= {"low": argument.low, "high": argument.high}
        arguments.append(row)
    return {
        "name": spec.name,
        "summary": spec.summary,
        "arguments": arguments,
        "changes": spec.changes,
        "needs_faults": spec.needs_faults,
    }
