"""`raft-node` as it is, except that `cluster` starts stand-ins: run as a process by the supervisor's tests."""

import sys
from pathlib import Path

from node.cli import cluster, main
from node.supervisor import retiring

cluster.NODE_COMMAND = (sys.executable, str(Path(__file__).with_name("stand_in.py")))
retiring.ASK_SECONDS_MAX = 2.0  # of two refusals, each of which waits for so long

if __name__ == "__main__":
    sys.exit(main())
