"""An event loop that tells a meter where each of its turns begins and ends.

Why it exists: a turn is what the rule is about: everything that is done between two looks at the network and timers. It
waits for nothing while a turn is counted, except for what the code under test itself waits for.
"""

import asyncio

from tests.bounds.meter import Meter


class CountingLoop(asyncio.SelectorEventLoop):
    """Any thread may run it: signals are not handled."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def _run_once(self) -> None:
        self._meter.begin()
        super()._run_once()  # type: ignore[misc]
        self._meter.end()

    def add_signal_handler(self, *_signal_and_handler: object) -> None:
        """Nothing: this is not the main thread."""
