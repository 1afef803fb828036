"""The command `raft-node`: parse, ask, print; one module a group of commands.

Why it exists: people and scripts meet the project here, so every failure is one sentence on stderr and a documented
exit code, never a traceback. Modules import what is heavy (asyncio, aiohttp, rich) inside their commands, so that
`--help` and shell completion stay quick. It must not decide anything about Raft.
"""

from node.cli.main import main

__all__ = ["main"]
