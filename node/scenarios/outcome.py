"""How a scenario can fail, and the numbers it runs with.

Why it exists: "the cluster did not do what was predicted" and "this tool could not play the scenario" are different
news, and must never be mistaken for each other. It must not do anything.
"""

import msgspec

AS_PREDICTED = 0
NOT_AS_PREDICTED = 1
TOOL_FAILURE = 70
"""Exit codes; 2 is a wrong argument."""


class NotAsPredicted(Exception):
    """The cluster did something else than was predicted; the message is one sentence: what was seen."""


class ToolFailure(Exception):
    """The scenario could not be played, which says nothing about Raft; one sentence, then perhaps a node's words."""

    def __init__(self, sentence: str, extra: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.extra = extra


class Timing(msgspec.Struct, frozen=True):
    """How fast the cluster runs. Milliseconds; `pause_s`: seconds to read each prediction before it is tried."""

    heartbeat_ms: int = 60
    election_low_ms: int = 300
    election_high_ms: int = 600
    pause_s: float = 0.0

    @property
    def wait_s(self) -> float:
        """How long anything that is predicted may take: many elections, on a busy machine."""
        return max(10.0, 20 * self.election_high_ms / 1000)

    def stretched(self, factor: int) -> "Timing":
        """The same with election timeouts that many times as long."""
        low, high = self.election_low_ms * factor, self.election_high_ms * factor
        return msgspec.structs.replace(self, election_low_ms=low, election_high_ms=high)


SPEEDS = {
    "normal": Timing(),
    "slow": Timing(heartbeat_ms=300, election_low_ms=1500, election_high_ms=3000, pause_s=3.0),
}
