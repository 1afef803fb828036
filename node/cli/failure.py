"""How a command fails: one sentence, and one exit code that scripts can rely on."""

OK = 0
FAILED = 1
"""Also: the key was not found, the cluster has no leader."""
STORAGE = 3
"""A data folder is damaged, foreign, in use, read-only or full."""
UNAVAILABLE = 4
"""Nothing happened, certainly: try again later."""
UNKNOWN_OUTCOME = 5
"""The write may have happened, may happen yet, or may never happen."""
COMPARE_FAILED = 6
"""--if-match named a revision that is not the key's any more; nothing was written."""
LOST = 7
"""A lock, or the lead, that was held is lost: somebody else may hold it."""
USAGE = 64
"""A flag, a setting or an argument is wrong; nothing was done. EX_USAGE, as in raft-chaos: 2 is another thing there,
and of `serve` itself."""
OUTPUT = 74
"""EX_IOERR: what was to be done is done (the sentence says what), but standard output could not take the answer."""

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, not found or no leader, 3 storage error, 4 unavailable: nothing happened, "
    "5 unknown outcome, 6 --if-match failed, 64 wrong usage, 74 done, but the output could not be written."
)


class Failure(Exception):
    """Ends a command with `code` after its sentence was printed on stderr."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


class ShutOut(Failure):
    """Of who asks: what it shows is nobody's, or may not do that. Asking again does not help by itself."""
