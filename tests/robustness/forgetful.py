"""`raft-node` with a planted bug: of those events that are told while they happen, one of many is not.

Why it exists: a judge of real nodes that never complains proves nothing.
"""

import sys

from node.cli import main
from node.watching.events import Event
from node.watching.watch import Budget, Watch

FORGOTTEN_EVERY = 17

take = Watch._take


def forgetful(self: Watch, event: Event, events: list[Event], budget: Budget) -> None:
    if event.kv.mod_revision % FORGOTTEN_EVERY:
        take(self, event, events, budget)


Watch._take = forgetful  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
