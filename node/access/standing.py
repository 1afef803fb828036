"""Answers without an end that stand open, each with the credential it was let in with: they end when that is void.

Why it exists: a watch lives for days. A token that is taken back must not go on reading through what it opened before.
It must not know what stands open, nor how it is ended.
"""

from collections.abc import Callable

from node.access.table import Need


class Standing:
    """Those of one node. As many as there are requests and streams at a time, which doors bound."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str | None, Need, Callable[[], None]]] = {}
        self._next = 0

    def hold(self, credential: str | None, need: Need, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once this credential may not do what needs `need` any more. Call what is returned when it is
        over."""
        number = self._next = self._next + 1
        self._open[number] = credential, need, end
        return lambda: self._forget(number)

    def judge(self, may: Callable[[str | None, Need], bool]) -> None:
        """End what may not go on. Each credential is looked at once: many stand by one."""
        known: dict[tuple[str | None, Need], bool] = {}
        for credential, need, end in list(self._open.values()):
            key = (credential, need)
            if key not in known:
                known[key] = may(credential, need)
            if not known[key]:
                end()

    def _forget(self, number: int) -> None:
        self._open.pop(number, None)
