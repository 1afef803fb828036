"""See healer.py."""

import sys

from chaos.switch.healer import main

sys.exit(main(sys.argv[1:]))
