"""How a run can end other than well, each with its exit code: one sentence for people, one number for scripts.

Why it exists: a script must be able to tell a violated promise from a fault that did nothing. It must not print.
"""

PASSED = 0
UNSAFE = 1
"""A safety check failed: something that was promised did not hold."""
NOT_RECOVERED = 2
"""Safe, but the cluster did not recover within the time allowed."""
NOT_EFFECTIVE = 3
"""The fault did nothing, or too little was going on to tell: the run proves nothing."""
REFUSED = 4
"""A guard said no, and nothing was changed."""
USAGE = 64
TOOL_FAILED = 70
OUTPUT_LOST = 74
"""EX_IOERR: all was well, but standard output could not be written."""
INTERRUPTED = 130
"""Ctrl-C or SIGTERM, and what had been done was undone."""


class ChaosError(Exception):
    """The message is one sentence: what, where, cure. `code` is the process's exit code."""

    code = TOOL_FAILED


class Refused(ChaosError):
    """A guard said no before anything was changed."""

    code = REFUSED


class NotEffective(ChaosError):
    """The fault was tried, did not do what it says, and was taken back."""

    code = NOT_EFFECTIVE


class NotRecovered(ChaosError):
    """What had to come back did not, within its time."""

    code = NOT_RECOVERED


class Usage(ChaosError):
    """The command line asks for something that cannot be meant."""

    code = USAGE
