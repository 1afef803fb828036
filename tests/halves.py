"""`python -m tests.halves [--slowest] [ARGUMENTS OF PYTEST]`: a suite in two processes, one for each of two cores.

Why it exists: what runs real nodes mostly waits, and must not compete with itself for the time that election timeouts
are made for; everything else mostly computes. Each half is an ordinary run of pytest, its output in one piece.

`--slowest` is `make test-slow`. There a browser or five nodes may want both cores, so what mostly computes gives way.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REAL_PROCESSES = ("cluster", "supervisor", "demo", "chaos", "client", "chart", "cures", "versions", "outputs")
"""Folders of tests that run nodes or other programs. `tools` does so too, but looks at nothing's time: it is in the
other half, so that both end together."""

COMPUTING = (
    *("simulation", "statemachine", "api", "bounds", "outputs", "robustness", "versions", "conformance"),
    *("chart", "cli", "client", "cures", "docs", "etcd", "http2", "tools"),
    *("chaos/test_liars.py", "chaos/test_report_browser.py"),
)
"""Of the slowest tests, folders and files of those that mostly compute, or judge what was done and not how soon."""

SLOWEST = ("-m", "slowest and not longest and not judges and not kubernetes")
GIVES_WAY = 10
"""Niceness of what mostly computes: a tenth of a core where the other half wants both."""

SLOWEST_TOLD = 30
"""So many tests of each half are told with their time: who makes the suite longer shall see it."""


def main(arguments: list[str]) -> int:
    """Exit code 0: both halves passed; else that of one that did not."""
    slowest = "--slowest" in arguments
    options = [*SLOWEST, *(one for one in arguments if one != "--slowest")] if slowest else arguments
    apart = [f"tests/{folder}" for folder in (COMPUTING if slowest else REAL_PROCESSES)]
    begin = [sys.executable, "-m", "pytest", f"--durations={SLOWEST_TOLD}", *options]
    rest = [*begin, *(f"--ignore={folder}" for folder in apart)]
    watched, beside = (rest, [*begin, *apart]) if slowest else ([*begin, *apart], rest)
    named = ", ".join(path.removeprefix("tests/") for path in apart)
    with subprocess.Popen(
        beside, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=_give_way if slowest else None
    ) as others:
        print(
            f"what mostly computes ({named}) beside everything else"
            if slowest
            else f"real processes ({named}), and everything else beside them",
            flush=True,
        )
        try:
            first = subprocess.run(watched, cwd=ROOT, check=False).returncode
            output, _ = others.communicate()
        except KeyboardInterrupt:
            others.terminate()
            raise
    print(f"{'what mostly computes' if slowest else 'everything else'}:\n{output}", end="", flush=True)
    return first or others.returncode


def _give_way() -> None:
    os.nice(GIVES_WAY)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the halves end with it
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
