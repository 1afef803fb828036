"""By how much this process was held up lately: stopped, or on a machine without a processor for it.

Why it exists: a process can tell its own stall from others' silence, by timers that fire late. On a machine that many
share, whoever is late there knows that the others may be. It must not decide what follows.
"""

FADES = 15 / 16
"""With each timer that counts. A follower has one in an election timeout or less, so a stall is half forgotten after
some ten."""

FADES_EVERY_US = 100_000
"""At most so often: a leader has more timers than a follower, and must not forget sooner."""


class HeldUp:
    """`most_us`: more is not remembered, however long a process was stopped."""

    def __init__(self, most_us: int) -> None:
        self.us = 0
        self._most_us = most_us
        self._faded_us = -FADES_EVERY_US

    def saw(self, late_us: int, now: int) -> None:
        """A timer fired at `now`, so much too late."""
        if now - self._faded_us >= FADES_EVERY_US:
            self._faded_us = now
            self.us = int(self.us * FADES)
        self.us = max(min(late_us, self._most_us), self.us)
