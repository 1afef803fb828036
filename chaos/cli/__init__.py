"""The command `raft-chaos`: parse, ask, print; one module a group of commands.

Why it exists: people and scripts meet the tool here, so every failure is one sentence on stderr and a documented exit
code, never a traceback. It must not decide anything about faults.
"""

from chaos.cli.main import main

__all__ = ["main"]
