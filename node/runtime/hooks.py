"""What the driver tells its surroundings.

Why it exists: the driver, and what relays commands for it, need the same few callbacks. It must not do anything.
"""

from collections.abc import Callable

import msgspec

from node.raft.effects import ConfigChanged
from node.raft.types import Member
from node.runtime.ports import CommandOutcome

CommandReplied = Callable[[CommandOutcome], None]


class Hooks(msgspec.Struct, frozen=True):
    """What the driver tells its surroundings. `wake`: call `handle` again soon, something completed."""

    wake: Callable[[], None]
    configuration: Callable[[ConfigChanged], None]
    report: Callable[[Member, bytes], None]
    applied: Callable[[], None] = lambda: None
    """The state machine may hold more than before: called in every turn, so it must cost nothing where it does not."""
    report_wanted: Callable[[str], None] = lambda _peer: None
    """A peer asks for this node's Report."""
    command: Callable[[str, bytes, CommandReplied], None] = lambda name, _arguments, reply: reply(
        CommandOutcome(name, "", "refused", "this node takes no commands from peers")
    )
    """A member wants a command carried out here: its name and JSON arguments; call the last once, at any time."""
