"""`raft-node` with one lie: `LIE serve ...` is a node that lies, `LIE cluster ...` a cluster whose nodes all do.

`honest` is no lie: the same way of starting, nothing changed.
"""

import sys

from node.cli import cluster, main
from tests.chaos.liars.lies import LIES


def _main(lie: str, arguments: list[str]) -> int:
    if lie != "honest":
        name = arguments[arguments.index("--name") + 1] if "--name" in arguments else ""
        LIES[lie](name)
    cluster.NODE_COMMAND = (sys.executable, "-m", "tests.chaos.liars", lie, "serve")
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], sys.argv[2:]))
