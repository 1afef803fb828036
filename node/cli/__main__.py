"""`python -m node.cli` is `raft-node`: how the supervisor starts nodes with the very interpreter it runs on."""

import sys

from node.cli.main import main

sys.exit(main())
