"""What a run knows of its dead man's switch, wherever that is.

Why it exists: the tool heals whatever it can see coming; `kill -9`, a process that is stopped for ever and a machine
that is gone it cannot. Something that outlives it must. It must not know what was broken: the undo journal does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

SILENT_SECONDS = 25.0
"""A tool that gives no sign of life for so long is as good as dead: with the healing that is well within a minute."""


class Charge(msgspec.Struct, frozen=True):
    """What a switch is to watch over. `journal`: the file; `seconds_max`: no run lasts longer; `cuts`: links are cut,
    not only processes ended. `open_steps`: what is not taken back by now. `ended`: to be called where the run has to
    end because of the switch, with the reason and the exit code."""

    run: str
    journal: Path
    seconds_max: float
    cuts: bool
    open_steps: Callable[[], Sequence[object]]
    ended: Callable[[str, int], None]


class Switch(Protocol):
    """It watches from when it was made until it is let go of."""

    async def disarm(self) -> None:
        """All is taken back: it ends. Never raises, bounded."""

    async def leave(self) -> None:
        """Not all is: it takes over, and goes on trying. Never raises."""


class NoSwitch:
    """Where nothing would stay."""

    async def disarm(self) -> None: ...

    async def leave(self) -> None: ...
