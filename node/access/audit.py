"""Who changed what, when, and what came of it: told to the log line by line, and to the node's events in bounds.

Why it exists: after an accident somebody asks who did it. Actions of operators are told wherever people have to say who
they are, writes where that is asked for; refusals of who is known, too. In the log each is a line, which the log's own
bounds hold; events are few, so that they drive out no election: what is beyond is counted, and told with the next one.
It must not know a door, and holds nothing of what was written.
"""

from collections.abc import Callable

from node.access.principals import Both, Need, Principal, Role

EVENTS_PER_SECOND_MAX = 10
WHAT_CHARS_MAX = 200
"""Of what is told of a request: a path may hold a long key."""

Detail = dict[str, str | int | bool]


class Audit:
    """`tell` makes an event of a detail, `log` a line. `now`: the loop's clock, seconds. `counts`: by the
    role that was needed and outcome. `writes`: they are told, too, in the log alone."""

    def __init__(
        self,
        tell: Callable[[Detail], None],
        log: Callable[[Detail], None],
        now: Callable[[], float],
        counts: dict[tuple[str, str], int],
        *,
        writes: bool = False,
    ) -> None:
        self._tell, self._log, self._now = tell, log, now
        self.writes = writes
        self._counts = counts
        self._second = -1
        self._told = 0
        self._untold = 0

    def wants(self, need: Need) -> bool:
        """Whether what needs this is told of."""
        return _is_operators(need) or (need is Role.WRITE and self.writes)

    def done(self, principal: Principal, need: Need, what: str, outcome: str) -> None:
        """`what`: as it was asked. `outcome`: a status of HTTP, a code of gRPC, "denied", or "left": the client was
        gone before its answer, so it may have been done."""
        key = (str(need), outcome)
        self._counts[key] = self._counts.get(key, 0) + 1
        detail: Detail = {"who": principal.name, "what": ascii(what)[1:-1][:WHAT_CHARS_MAX], "outcome": outcome}
        if _is_operators(need) and self._has_room():
            untold, self._untold = self._untold, 0
            self._tell({**detail, "untold": untold})  # an event is a line of the log as well
        else:
            self._log(detail)

    def _has_room(self) -> bool:
        second = int(self._now())
        if second != self._second:
            self._second, self._told = second, 0
        self._told += 1
        if self._told > EVENTS_PER_SECOND_MAX:
            self._untold += 1
            return False
        return True


def _is_operators(need: Need) -> bool:
    return need is Role.OPERATE or isinstance(need, Both)
