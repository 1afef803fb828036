"""Opens the cluster that is meant, lets a command work with it, and closes it; progress lines.

Why it exists: every command ends its connections, also when it fails. It must not know what a command does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from chaos.cli.options import Common
from chaos.cli.stdout import complain
from chaos.errors import INTERRUPTED, ChaosError
from chaos.targets.find import Choice, open_target
from chaos.targets.port import Target

Work = Callable[[Target], Awaitable[int]]


class Interrupted(ChaosError):
    """Ctrl-C before anything was changed."""

    code = INTERRUPTED


def execute(common: Common, work: Work) -> int:
    """Run `work` on the target; the exit code."""
    try:
        return asyncio.run(_with_target(common, work))
    except KeyboardInterrupt:
        raise Interrupted("Interrupted; nothing is left changed.") from None


async def _with_target(common: Common, work: Work) -> int:
    target = await open_target(
        Choice(
            target=common.target,
            namespace=common.namespace,
            release=common.release,
            context=common.context,
            data_dir=common.data_dir,
            system=common.system,
        )
    )
    try:
        return await work(target)
    finally:
        await target.close()


class Progress:
    """Lines with the time since the first one, which `heading` precedes; a reader who went away, or reads nothing, must
    not end or hold up a run that has to heal (see `stdout.prepared`)."""

    def __init__(self, common: Common, heading: str = "") -> None:
        self._heading = heading
        self._on_stdout = not common.json
        self._began: float | None = None

    def __call__(self, text: str) -> None:
        """Print one line."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
            text = f"{self._heading}{0:6.1f} s  {text}"
        else:
            text = f"{now - self._began:6.1f} s  {text}"
        if self._on_stdout:
            print(text, flush=True)
        else:
            complain(text)


def print_json(value: Any) -> None:
    """One object, on stdout."""
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:
        text = msgspec.json.encode(spelled(msgspec.to_builtins(value)))
    print(text.decode(), flush=True)


def spelled(value: Any) -> Any:
    """What is not UTF-8, as the name of a folder may be, with backslashes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {spelled(key): spelled(item) for key, item in value.items()}
    return [spelled(item) for item in value] if isinstance(value, (list, tuple)) else value
