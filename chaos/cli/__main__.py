"""`python -m chaos.cli` is `raft-chaos`."""

import sys

from chaos.cli.main import main

sys.exit(main())
