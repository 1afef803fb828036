"""By how much this process was held up lately: stopped, or on a machine without a processor for it.

Why it exists: a process can tell its own stall from others' silence, by timers that fire late. On a machine that many
share, whoever is late there knows that the others may be. It must not decide what follows.
"""

FADES = 15 / 16
"""With each timer. A follower has one in an election timeout or less, so a stall is half forgotten after some ten."""


class HeldUp:
    """`most_us`: more is not remembered, however long a process was stopped."""

    def __init__(self, most_us: int) -> None:
        self.us = 0
        self._most_us = most_us

    def saw(self, late_us: int) -> None:
        """A timer fired, so much too late."""
        self.us = max(min(late_us, self._most_us), int(self.us * FADES))
