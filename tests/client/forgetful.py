"""`raft-node` with a planted bug: nodes remember nothing of a session, so that a write that comes twice is done twice.

Why it exists: tests of writes that are done once must be seen to fail.
"""

import sys

from node.cli import cluster, main
from node.raft.types import Entry
from node.statemachine.sessions import Sessions


def _known(_sessions: Sessions, _entry: Entry, _answered: int, _checksum: int, _user: str | None = None) -> None:
    return None


def _keep(_sessions: Sessions, _entry: Entry, _checksum: int, _result: object) -> None:
    return None


if __name__ == "__main__":
    cluster.NODE_COMMAND = (sys.executable, "-m", "tests.client.forgetful", "serve")
    setattr(Sessions, "known", _known)  # noqa: B010 - a plain assignment is none that mypy allows
    setattr(Sessions, "keep", _keep)  # noqa: B010
    sys.exit(main(sys.argv[1:]))
