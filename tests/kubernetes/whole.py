"""`python -m tests.kubernetes.whole [ARGUMENTS OF PYTEST]`: all of tests/kubernetes, three files at a time.

Why it exists: these tests mostly wait for Kubernetes, and one after the other they take more than an hour. Each file is
a run of pytest of its own, in namespaces of its own, and its output comes in one piece when it ends.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Lock

from tests.kubernetes import figures

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
AT_ONCE = 3

ALONE = ("test_lost_machine.py", "test_drain.py", "test_late_names.py")
"""They take from the whole cluster: a machine goes off the network, one takes no pods, its name server ends."""

CHAOS = ("test_chaos_commands_partition.py", "test_chaos_commands.py", "test_chaos_behaviours.py", "test_chaos_five.py")
"""They often change how the network treats policies, would wait for each other, and take most of the processors."""
KINDS_OF_CERT_MANAGER = ("test_other_authority.py", "test_cert_manager.py")
"""They bring these kinds, which are there once in a cluster."""

SLOWEST_FIRST = (
    *(CHAOS, ("test_argo_cd.py",), KINDS_OF_CERT_MANAGER, ("test_guard.py",)),
    *(("test_ingress.py",), ("test_doors_of_jobs.py",), ("test_scale.py",), ("test_tls.py",)),
    *(("test_guard_partition.py",), ("test_chaos_switch.py",), ("test_chaos_target.py",), ("test_old_volumes.py",)),
    *(("test_tls_way.py",), ("test_bucket.py",), ("test_restart.py",), ("test_monitoring.py",)),
    *(("test_guard_api_server.py",), ("test_failures.py",), ("test_keeping.py",), ("test_discovery.py",)),
)
"""So that all end together; who is not in it comes afterwards. Files of one row follow each other."""

NOTHING_SELECTED = 5
"""pytest's exit code: its arguments select no test of that file."""


class Run:
    """One file after the other, until Ctrl-C."""

    def __init__(self, arguments: list[str]) -> None:
        self._command = [sys.executable, "-m", "pytest", "-m", "kubernetes", *arguments]
        self._printing = Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False
        self.codes: dict[str, int] = {}

    def row(self, names: Iterable[str]) -> None:
        """One after the other."""
        for name in names:
            if not self._ended:
                self._file(name)

    def _file(self, name: str) -> None:
        """Print what it says, and keep its exit code."""
        began = time.monotonic()
        # A group of its own: Ctrl-C reaches it once, by `end`, and it cleans up
        with subprocess.Popen(
            [*self._command, str((HERE / name).relative_to(ROOT))],
            cwd=ROOT,
            env={**os.environ, figures.KEPT_VARIABLE: "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            self._running.add(process)
            output, _ = process.communicate()
            self._running.discard(process)
        self.codes[name] = process.returncode
        with self._printing:
            print(f"===== {name}: {time.monotonic() - began:.0f} s\n{output}", flush=True)

    def rows(self, rows: Iterable[Iterable[str]], at_once: int) -> None:
        """All of them."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                list(pool.map(self.row, rows))
            except KeyboardInterrupt:
                self.end()
                raise

    def end(self) -> None:
        """Nothing more begins; what runs is interrupted, and removes what it made."""
        self._ended = True
        for process in list(self._running):
            process.send_signal(signal.SIGINT)


def together() -> list[tuple[str, ...]]:
    """Rows that run beside one another, the slowest first."""
    found = {path.name for path in HERE.glob("test_*.py")}
    named = {*ALONE, *chain.from_iterable(SLOWEST_FIRST)}
    assert named <= found, f"there is no {', '.join(sorted(named - found))}: mend the lists in {__file__}"
    return [*SLOWEST_FIRST, *((name,) for name in sorted(found - named))]


def main(arguments: list[str]) -> int:
    """Exit code 0: all passed; 1: the files that did not are named last."""
    began = time.monotonic()
    (figures.FOLDER / figures.FILE).unlink(missing_ok=True)
    run = Run(arguments)
    run.rows([ALONE], 1)
    run.rows(together(), AT_ONCE)
    failed = sorted(name for name, code in run.codes.items() if code not in (0, NOTHING_SELECTED))
    nothing = all(code == NOTHING_SELECTED for code in run.codes.values())
    verdict = f"failed: {', '.join(failed)}" if failed else "no test was selected" if nothing else "all passed"
    print(f"{len(run.codes)} files in {(time.monotonic() - began) / 60:.1f} minutes: {verdict}", flush=True)
    return 1 if failed or nothing else 0


if __name__ == "__main__":
    for ends in (signal.SIGINT, signal.SIGTERM):  # in the background a shell has it ignored
        signal.signal(ends, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
