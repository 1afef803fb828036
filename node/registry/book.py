"""What is registered: by name, each process for as long as it repeats itself; bounded; in memory alone.

Why it exists: rules of time and number are told apart from HTTP, and are tested with a clock of their own. It must not
judge who is right: of two processes of one name both stand in the book, and who looks up decides (the cluster's log
knows whose disk is a member's). Nothing of it is kept on disk: nodes repeat themselves, so an empty book fills again.
"""

import msgspec

from node.discovery.words import NODES_MAX, PER_NAME_MAX, Listed, Registration


class Full(Exception):
    """There is no room; the message is one sentence."""


class _Line(msgspec.Struct):
    registration: Registration
    since_s: float
    said_s: float

    @property
    def ends_s(self) -> float:
        return self.said_s + self.registration.ttl_ms / 1000


class Book:
    """`now_s` is any clock that only goes forward; each call is told it."""

    def __init__(self, nodes_max: int = NODES_MAX) -> None:
        self._nodes_max = nodes_max
        self._lines: dict[str, dict[str, _Line]] = {}
        """By name and boot."""
        self._count = 0

    def register(self, said: Registration, now_s: float) -> tuple[Registration, ...]:
        """Begin or repeat a registration; the rivals of it. Raises `Full`, and then nothing has changed."""
        self._sweep(now_s)
        of_name = self._lines.get(said.name, {})
        line = of_name.get(said.boot)
        if line is None:
            if len(of_name) >= PER_NAME_MAX:
                raise Full(
                    f"{PER_NAME_MAX} processes are registered as {said.name} already: one of them must end first"
                )
            if self._count >= self._nodes_max:
                raise Full(f"{self._nodes_max} processes are registered already: no more fit in")
            self._lines.setdefault(said.name, of_name)[said.boot] = _Line(said, now_s, now_s)
            self._count += 1
            return ()
        line.registration, line.said_s = said, now_s
        return tuple(
            other.registration for boot, other in of_name.items() if boot != said.boot and other.said_s > line.since_s
        )

    def withdraw(self, name: str, boot: str) -> bool:
        """That process leaves; whether it was registered."""
        of_name = self._lines.get(name, {})
        if of_name.pop(boot, None) is None:
            return False
        self._count -= 1
        if not of_name:
            del self._lines[name]
        return True

    def find(self, name: str, now_s: float) -> tuple[Listed, ...]:
        """Who is registered under that name, the newest process first."""
        self._sweep(now_s)
        lines = sorted(self._lines.get(name, {}).values(), key=lambda line: line.since_s, reverse=True)
        return tuple(_listed(line, now_s) for line in lines)

    def all(self, now_s: float) -> tuple[Listed, ...]:
        """Everybody, by name."""
        self._sweep(now_s)
        return tuple(each for name in sorted(self._lines) for each in self.find(name, now_s))

    def _sweep(self, now_s: float) -> None:
        over = [
            (name, boot) for name, lines in self._lines.items() for boot, line in lines.items() if line.ends_s <= now_s
        ]
        for name, boot in over:
            self.withdraw(name, boot)


def _listed(line: _Line, now_s: float) -> Listed:
    return Listed(
        registration=line.registration,
        since_ms=int((now_s - line.since_s) * 1000),
        age_ms=int((now_s - line.said_s) * 1000),
    )
