"""Operators of a simulated cluster: what they order, of whom, in any weather.

Why it exists: orders come beside faults, not in their place. It must not judge, and must not decide what is safe: an
operator may ask for anything, and the core refuses what it must.
"""

from collections.abc import Callable, Mapping, Sequence

from node.runtime.ports import CommandOutcome
from node.simulation.chance import Chance, pick
from node.simulation.scheduler import Scheduler
from node.simulation.server import Server
from node.simulation.striking import Acts

ORDER_TIMEOUT_US = 2_000_000
Answered = Callable[[CommandOutcome], None]
Order = Callable[[], bool]


class Operators:
    """They order until `ends_us`. `begin` once."""

    def __init__(
        self,
        servers: Sequence[Server],
        scheduler: Scheduler,
        acts: Acts,
        on_line: Callable[[bytes], None],
        ends_us: int,
    ) -> None:
        self.acts = acts
        self.orders: dict[str, int] = {}
        """Orders asked, and answered by code."""
        self._servers = servers
        self._scheduler = scheduler
        self._on_line = on_line
        self._ends_us = ends_us

    def begin(self) -> None:
        """The first order comes soon."""
        self._scheduler.schedule(700_000, self._next_order)

    def react(self, server: Server, kind: str) -> None:
        """A server told something of itself."""

    def target(self) -> Server:
        """Leaders are whom most orders are for."""
        leaders = [server for server in self._servers if server.leads]
        return pick(self._rng, leaders if leaders and self._rng.random() < 0.5 else self._servers)

    def order(
        self, server: Server, command: str, arguments: Mapping[str, str], answered: Answered = lambda _outcome: None
    ) -> bool:
        """Whether somebody was there to be asked."""
        if server.driver is None:
            return False
        self.orders["asked"] = self.orders.get("asked", 0) + 1

        def reply(outcome: CommandOutcome) -> None:
            self._on_line(b"%d %s: %s" % (self._scheduler.now(), command.encode(), outcome.message.encode()))
            self.orders[outcome.code] = self.orders.get(outcome.code, 0) + 1
            answered(outcome)

        server.order(command, arguments, self._scheduler.now() + ORDER_TIMEOUT_US, reply)
        return True

    def what_they_order(self) -> list[Order]:
        """One of these is drawn each time."""
        return [self._transfer, self._transfer, self._trigger_election]

    def _next_order(self) -> None:
        if self._scheduler.now() >= self._ends_us:
            return
        self.acts.strike(pick(self._rng, self.what_they_order()))
        self._scheduler.schedule(self._scheduler.now() + self.pause_us(), self._next_order)

    @property
    def _rng(self) -> Chance:
        return self.acts.chance

    def pause_us(self) -> int:
        """Until the next order."""
        return 500_000 + int(self._rng.random() * 2_000_000)

    def _transfer(self) -> bool:
        """An operator wants another to lead; asked of anybody, it is refused."""
        return self.order(self.target(), "transfer_leadership", {"target": pick(self._rng, self._servers).name})

    def _trigger_election(self) -> bool:
        return self.order(pick(self._rng, self._servers), "trigger_election", {})
