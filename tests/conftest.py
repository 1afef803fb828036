"""What every test gets: a fixture that fails a test which leaves a task, thread, process or socket behind."""

import asyncio
import gc
import inspect
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from tests import ports

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background deaf to Ctrl-C, and so are all children: tests that send it would hang.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that forbids bytecode makes each of the thousand programs that tests start compile the whole project anew:
# most of the time that a node takes to start, and half of that of the suite.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

ports.hold()

# How long an example takes says nothing on a machine that others use, too; hypothesis knows that only where CI is set.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="record the golden scenarios anew, then read the diff")


THREAD_END_SECONDS = 1.0


def _open_sockets() -> set[tuple[int, str]]:
    """(inode of each socket that this process holds, what /proc calls it)."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add((int(target[len("socket:[") : -1]), target))
    return found


def _children() -> set[int]:
    """Process ids of this process's children. psutil reads every process there is: longer than most tests take."""
    try:
        lists = [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):  # a thread that just ended, or a kernel without these lists
        return {child.pid for child in psutil.Process().children()}
    return {int(pid) for pids in lists for pid in pids.split()}


def _told(pid: int) -> str:
    """What a process is; empty: it has just ended."""
    try:
        return str(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def unused_tcp_port() -> int:
    """Instead of the one of pytest-asyncio, which anybody may be given, too."""
    return ports.free_port()


@pytest.fixture
def unused_tcp_port_factory() -> Callable[[], int]:
    return ports.free_port


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """A test that leaks a thread, a child process or a socket hides a bug of the product: fail it."""
    threads = set(threading.enumerate())
    children = _children()
    sockets = _open_sockets()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(THREAD_END_SECONDS)  # one that was told to end may still be ending
    leaked_threads = [t.name for t in threading.enumerate() if t not in threads]
    assert not leaked_threads, f"threads left behind: {leaked_threads}"
    leaked_children = [told for told in map(_told, _children() - children) if told]
    assert not leaked_children, f"processes left behind: {leaked_children}"
    leaked = _open_sockets() - sockets
    if leaked:
        gc.collect()  # an unreachable socket raises ResourceWarning here, which is an error and names its origin
        leaked = _open_sockets() - sockets
    assert not leaked, f"sockets left behind: {sorted(leaked)}"


@pytest.fixture
async def _tasks_are_checked() -> AsyncIterator[None]:
    yield
    left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    assert not left, f"tasks left behind: {[t.get_name() for t in left]}"


@pytest.fixture(autouse=True)
def no_task_is_left_behind(request: pytest.FixtureRequest) -> None:
    """An async test must end every task it began. Set up first, so torn down after the test's own fixtures."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_tasks_are_checked")
