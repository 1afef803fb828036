"""Run a command in a pod's container, as `kubectl exec` does: no policy cuts this way in.

Why it exists: dials must come from inside the pods, and SIGKILL in place too. The way is API server, kubelet, container
runtime. It must not know what the command is for.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence

import aiohttp
import msgspec

from chaos.errors import ChaosError
from chaos.targets.kubernetes.api import Api

OUTPUT_BYTES_MAX = 256 * 1024
_OUT, _ERR, _STATUS = 1, 2, 3


class Ran(msgspec.Struct, frozen=True):
    """`code`: the exit code; None: it is not known, such as when the container ended before the command did."""

    code: int | None
    out: str
    err: str


async def run_in_pod(
    api: Api, namespace: str, pod: str, container: str, command: Sequence[str], timeout_s: float
) -> Ran:
    """To its end. Raises `ChaosError` where it does not end in time or cannot be started."""
    out, err, code = bytearray(), bytearray(), None
    try:
        async with asyncio.timeout(timeout_s):
            async for channel, data in _frames(api, namespace, pod, container, command):
                if channel == _OUT:
                    out += data
                elif channel == _ERR:
                    err += data
                elif channel == _STATUS:
                    code = _exit_code(data)
                if len(out) + len(err) > OUTPUT_BYTES_MAX:
                    raise ChaosError(f"A command in pod {pod} said more than {OUTPUT_BYTES_MAX} bytes.")
    except TimeoutError:
        raise ChaosError(f"A command in pod {pod} (namespace {namespace}) did not end within {timeout_s} s.") from None
    return Ran(code, out.decode(errors="replace"), err.decode(errors="replace"))


async def lines_from_pod(
    api: Api, namespace: str, pod: str, container: str, command: Sequence[str]
) -> AsyncGenerator[str, None]:
    """What it prints, line by line while it runs; it loses its output when the caller stops listening."""
    rest = ""
    frames = _frames(api, namespace, pod, container, command)
    try:
        async for channel, data in frames:
            if channel == _OUT:
                *lines, rest = (rest + data.decode(errors="replace")).split("\n")
                for line in lines:
                    yield line
    finally:
        await frames.aclose()


async def _frames(
    api: Api, namespace: str, pod: str, container: str, command: Sequence[str]
) -> AsyncGenerator[tuple[int, bytes], None]:
    query = [("command", word) for word in command]
    query += [("container", container), ("stdout", "true"), ("stderr", "true")]
    websocket = await api.websocket(f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", query)
    try:
        async for message in websocket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            yield message.data[0], message.data[1:]
    finally:
        await websocket.close()


def _exit_code(status: bytes) -> int | None:
    """Of the Status object that ends a command."""
    try:
        said = json.loads(status)
        if said.get("status") == "Success":
            return 0
        causes = (said.get("details") or {}).get("causes") or []
        return next((int(one["message"]) for one in causes if one.get("reason") == "ExitCode"), None)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
