"""`python -m tests.halves [ARGUMENTS OF PYTEST]`: the whole suite in two processes, one for each of two cores.

Why it exists: what runs real nodes mostly waits, and must not compete with itself for the time that election timeouts
are made for; everything else mostly computes. Each half is an ordinary run of pytest, its output in one piece.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REAL_PROCESSES = ("cluster", "supervisor", "demo", "chaos", "client", "chart", "cures", "versions")
"""Folders of tests that run nodes or other programs. `outputs` and `tools` do so too, but look at nothing's time: they
are in the other half, so that both end together."""

SLOWEST_TOLD = 30
"""So many tests of each half are told with their time: who makes the suite longer shall see it."""


def main(arguments: list[str]) -> int:
    """Exit code 0: both halves passed; else that of one that did not."""
    ours = [f"tests/{folder}" for folder in REAL_PROCESSES]
    begin = [sys.executable, "-m", "pytest", f"--durations={SLOWEST_TOLD}", *arguments]
    with subprocess.Popen(
        [*begin, *(f"--ignore={folder}" for folder in ours)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as others:
        print(f"real processes ({', '.join(REAL_PROCESSES)}), and everything else beside them", flush=True)
        try:
            processes = subprocess.run([*begin, *ours], cwd=ROOT, check=False).returncode
            output, _ = others.communicate()
        except KeyboardInterrupt:
            others.terminate()
            raise
    print(f"everything else:\n{output}", end="", flush=True)
    return processes or others.returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
