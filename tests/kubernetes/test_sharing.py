"""How files of tests share one setting of the cluster: the lock of `policies`, by real processes, without a cluster."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kubernetes.kube import until

ROOT = Path(__file__).parents[2]
USER = """
import sys
from pathlib import Path
from tests.kubernetes import policies
policies.LOCKS, policies.PLUGIN = Path(sys.argv[1]), Path("/bin/true")
with policies.enforced() if sys.argv[2] == "as it is" else policies.policies(sys.argv[2]):
    print("has it", flush=True)
    sys.stdin.readline()
"""


class User:
    """A process that wants NetworkPolicies as they are, or otherwise, until it is told that this is enough."""

    def __init__(self, folder: Path, wants: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder), wants],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def has_it(self) -> None:
        assert self._popen.stdout is not None
        assert self._popen.stdout.readline() == "has it\n"

    def waits(self) -> None:
        """Until it stands at a lock that another one has."""
        stands = re.compile(rf"-> FLOCK +ADVISORY +(READ|WRITE) {self._popen.pid} ")
        until("it waits", lambda: stands.search(Path("/proc/locks").read_text()), 20.0)

    def enough(self) -> None:
        self._popen.communicate("\n", timeout=20)

    def end(self) -> None:
        self._popen.kill()
        self._popen.communicate()


@contextmanager
def users(folder: Path, *wants: str) -> Iterator[list[User]]:
    made: list[User] = []
    try:
        for one in wants:
            made.append(User(folder, one))
            if len(made) == 1:
                made[0].has_it()
            else:
                made[-1].waits()
        yield made
    finally:
        for user in made:
            user.end()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="who waits for a lock is read from /proc/locks")
@pytest.mark.parametrize("wants", ["as it is", "ignore"])
def test_who_changes_it_waits_for_those_who_have_it_and_nobody_goes_past(tmp_path: Path, wants: str) -> None:
    with users(tmp_path, "as it is", "cut", wants) as (first, changes, late):
        first.enough()
        changes.has_it()
        late.waits()
        changes.enough()
        late.has_it()


def test_those_who_leave_it_as_it_is_have_it_together(tmp_path: Path) -> None:
    one, other = User(tmp_path, "as it is"), User(tmp_path, "as it is")
    try:
        one.has_it()
        other.has_it()
    finally:
        one.end()
        other.end()
