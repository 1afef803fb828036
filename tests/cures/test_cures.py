"""Every cure that a node prints is followed, to the letter, and helps.

A cure of `node/cures.py` that no test here follows fails the suite, and so does one that is written anywhere else.
"""

import ast
import contextlib
import errno
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from node import cures
from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.inspect import dump
from node.storage.inspect_lines import DamageLine, SnapshotLine
from tests.chaos.local_cluster import LocalCluster, local_cluster
from tests.cli.conftest import raft_node
from tests.cures import test_cures_of_folders
from tests.ports import free_base_port
from tests.storage.logs import Log, append, birth, command, snapshot_at
from tests.storage.snapshotting import SnapshotBench, base_at
from tests.supervisor.conftest import eventually

NODE = Path(cures.__file__).parent
ALL = {name: text for name, text in vars(cures).items() if name.isupper()}
FOLLOWED: dict[str, str] = {}
"""By cure: the test that follows it."""
Test = TypeVar("Test", bound=Callable[..., Any])


def follows(*names: str) -> Callable[[Test], Test]:
    """That test follows these cures."""

    def noted(test: Test) -> Test:
        FOLLOWED.update(dict.fromkeys(names, test.__name__))
        return test

    return noted


def serve(
    data_dir: Path, *, name: str = "n1", port: int = 0, host: str = "127.0.0.1", **limits: int
) -> subprocess.Popen[str]:
    """A node that is a cluster of one."""
    port = port or free_base_port(1)
    command = [sys.executable, "-m", "node.cli", "serve", "--name", name, "--seeds", f"{name}=127.0.0.1:{port + 1000}"]

    def limit() -> None:
        for which, value in limits.items():
            resource.setrlimit(getattr(resource, which), (value, value))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return subprocess.Popen(
        [*command, "--port", str(port), "--data-dir", str(data_dir), "--host", host],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


def refused(node: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code and the last line that it said."""
    try:
        _, said = node.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        node.kill()
        _, said = node.communicate()
    return node.returncode, said.strip().splitlines()[-1]


@contextlib.contextmanager
def running(node: "subprocess.Popen[str]") -> Iterator[None]:
    """Wait until it says that it leads its cluster of one; end it afterwards."""
    assert node.stderr is not None
    said = []
    try:
        for line in node.stderr:
            said.append(line)
            if '"role":"leader"' in line:
                break
        else:
            raise AssertionError(f"it ended with {node.wait(60)}:\n{''.join(said)}")
        yield
    finally:
        node.terminate()
        node.communicate(timeout=60)


def call(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, data=json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def spoil(cluster: LocalCluster, name: str) -> None:
    """A bit of the log that nobody may lose."""
    segment = next((cluster.data_dir / name / "data").glob("segment-*.wal"))
    content = bytearray(segment.read_bytes())
    content[700] ^= 0x10
    segment.write_bytes(content)


@pytest.mark.slowest
@follows("MEMBER_LOST")
def test_a_damaged_node_returns_as_a_new_member_on_an_empty_folder(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as cluster:
        where = ("--data-dir", str(cluster.data_dir))
        assert raft_node("put", "greeting", "hello", *where).code == 0
        (node,) = [node for node in cluster.file["nodes"] if node["name"] == "n3"]
        subprocess.run(["kill", "-9", str(node["pid"])], check=True)
        eventually(lambda: cluster.pid("n3") is None, "the death of n3")
        spoil(cluster, "n3")
        assert raft_node("start", "n3", *where).code == 0
        eventually(lambda: cluster.pid("n3") is None and "a storage error" in cluster.output, "the refusal")
        assert cures.MEMBER_LOST in " ".join(cluster.output.split())
        # "start it on an empty data folder while a majority of the others runs"
        Path(node["data_dir"]).rename(tmp_path / "away")
        assert raft_node("start", "n3", *where).code == 0
        # "it asks to be let in"
        asks = "raft-node members replace n3"
        eventually(lambda: asks in raft_node("members", "list", *where).out.decode(), "n3 asks to be let in")
        # "raft-node members replace, then promote"
        eventually(lambda: raft_node("members", "replace", "n3", *where).code == 0, "n3 listens")
        eventually(lambda: raft_node("members", "promote", "n3", *where).code == 0, "n3 votes")
        assert b"3 voters; " in raft_node("members", "list", *where).out
        eventually(lambda: b"all 3 up" in raft_node("status", *where).out, "a full cluster")
        assert raft_node("get", "greeting", *where).out == b"hello"


@pytest.mark.slowest
@follows("STOP_OTHER", "OWN_FOLDER")
def test_a_folder_in_use_or_of_another_node(tmp_path: Path) -> None:
    with running(serve(tmp_path / "n1")):
        code, said = refused(serve(tmp_path / "n1"))
        assert (code, cures.STOP_OTHER in said) == (3, True)
        with running(serve(tmp_path / "other")):
            pass
    with running(serve(tmp_path / "n1")):
        pass
    code, said = refused(serve(tmp_path / "n1", name="n2"))
    assert (code, cures.OWN_FOLDER in said) == (3, True)
    with running(serve(tmp_path / "n2", name="n2")):
        pass


@follows("CREATE_FOLDER", "CHOOSE_FOLDER")
def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there"
    code, said = refused(serve(missing))
    assert (code, cures.CREATE_FOLDER in said) == (3, True)
    missing.parent.mkdir()
    with running(serve(missing)):
        pass
    file = tmp_path / "file"
    file.touch()
    code, said = refused(serve(file))
    assert (code, cures.CHOOSE_FOLDER in said) == (3, True)
    with running(serve(tmp_path / "folder")):
        pass


@follows("RAISE_FILE_SIZE", "RAISE_OPEN_FILES")
def test_limits_of_the_process(tmp_path: Path) -> None:
    code, said = refused(serve(tmp_path / "n1", RLIMIT_FSIZE=1024))
    assert (code, cures.RAISE_FILE_SIZE in said) == (3, True), said
    code, said = refused(serve(tmp_path / "n1", RLIMIT_NOFILE=24))
    assert (code, cures.RAISE_OPEN_FILES in said) == (2, True), said
    with running(serve(tmp_path / "n1")):
        pass


@follows("OWN_ADDRESS")
@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine(host: str, tmp_path: Path) -> None:
    code, said = refused(serve(tmp_path / "n1", host=host))
    assert (code, cures.OWN_ADDRESS in said) == (2, True), said
    with running(serve(tmp_path / "n1")):
        pass


@follows("OTHER_PORTS")
def test_a_port_in_use(tmp_path: Path) -> None:
    port = free_base_port(1)
    with socket.create_server(("127.0.0.1", port)):
        code, said = refused(serve(tmp_path / "n1", port=port))
        assert (code, cures.OTHER_PORTS in said) == (2, True)
        with running(serve(tmp_path / "other")):
            pass
    with running(serve(tmp_path / "n1", port=port)):
        pass


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (errno.ENOSPC, cures.FREE_SPACE),
        (errno.EDQUOT, cures.RAISE_QUOTA),
        (errno.EROFS, cures.MAKE_WRITABLE),
        (errno.EACCES, cures.GRANT_ACCESS),
        (errno.EMFILE, cures.RAISE_OPEN_FILES),
        (errno.EFBIG, cures.RAISE_FILE_SIZE),
        (errno.EIO, cures.CHECK_DISK),
        (errno.ENXIO, cures.LOOK_AT_MOUNT),
    ],
)
@follows("FREE_SPACE", "RAISE_QUOTA", "MAKE_WRITABLE", "GRANT_ACCESS", "CHECK_DISK", "LOOK_AT_MOUNT")
def test_a_disk_that_failed_is_mended_and_the_node_starts_again_with_all_it_had(code: int, cure: str) -> None:
    disk = SimulatedDisk()
    log = Log(disk)
    log.write(birth(), append(2, command(2), command(3)))
    log.close()
    disk.fail("open", code)
    with pytest.raises(StorageError) as failed:
        Log(disk)
    assert str(failed.value).endswith(cure)
    disk.heal()
    again = Log(disk)
    assert [entry.index for entry in again.recovered.entries] == [1, 2, 3]
    again.close()


@follows("SHORTER_NAME")
def test_a_name_that_no_log_can_hold() -> None:
    with pytest.raises(StorageError, match=cures.SHORTER_NAME):
        Log(SimulatedDisk(), name="n" * 300)
    Log(SimulatedDisk(), name="n" * 200).close()


@follows("MOVE_SNAPSHOT")
def test_a_damaged_snapshot_that_the_log_does_not_need_is_moved_away() -> None:
    disk = SimulatedDisk()
    log = Log(disk)
    log.write(birth(), append(2, command(2), command(3)))
    log.close()
    snapshot_at(disk, base_at(2), b"state")
    name = "snapshot-0000000000000002.snap"
    disk.flip(name, 100, 0x01)
    with pytest.raises(StorageError) as failed:
        Log(disk)
    assert str(failed.value).endswith(cures.MOVE_SNAPSHOT)
    disk.remove(name)
    again = Log(disk)
    assert [entry.index for entry in again.recovered.entries] == [1, 2, 3]
    again.close()


@pytest.mark.parametrize(
    ("code", "cure"), [(errno.ENOSPC, cures.SNAPSHOT_NO_SPACE), (errno.EIO, cures.SNAPSHOT_FAILED)]
)
@follows("SNAPSHOT_NO_SPACE", "SNAPSHOT_FAILED")
def test_a_disk_that_failed_a_snapshot_is_mended_and_the_next_one_succeeds(code: int, cure: str) -> None:
    disk = SimulatedDisk()
    bench = SnapshotBench(disk)
    disk.fail("pwrite", code)
    info, problem = bench.take(base_at(7), b"state")
    assert info is None
    assert problem.endswith(cure)
    disk.heal()
    bench.taken(base_at(8), b"state")


@follows("SNAPSHOT_SENT_AGAIN")
def test_a_snapshot_that_was_damaged_on_its_way_is_sent_again() -> None:
    one, two = SnapshotBench(SimulatedDisk()), SnapshotBench(SimulatedDisk())
    info = one.taken(base_at(7), b"state" * 100)
    data = b"".join(one.pieces(info))
    found, problem = two.receive(info, data[:300] + b"?" + data[301:])
    assert found is None
    assert problem.endswith(cures.SNAPSHOT_SENT_AGAIN)
    assert two.receive(info, data) == (info, "")


@follows("LOOK_AGAIN")
def test_a_log_that_its_node_compacts_meanwhile_is_looked_at_again() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    for index in range(2, 20):
        log.write(append(index, command(index)))
    snapshot_at(disk, base_at(15), b"state")
    lines = dump(disk)
    next(lines)
    for _ in range(3):
        log.wal.compact(15)
    (*_, last) = lines
    assert isinstance(last, DamageLine)
    assert last.sentence.endswith(cures.LOOK_AGAIN)
    (*_, last) = dump(disk)
    assert isinstance(last, SnapshotLine)
    log.close()


def test_every_cure_is_followed_by_a_test() -> None:
    assert set(ALL) == {*FOLLOWED, *test_cures_of_folders.FOLLOWED}


_SOUNDS_LIKE_ONE = re.compile(
    r"(then|and) start the node|tries again|look again|new member\b|ulimit|choose (a|an)other|choose a folder"
    r"|stop that process"
)
_PLACES = (
    "storage",
    "exits.py",
    "recovering.py",
    "restoring.py",
    "file_limits.py",
    "app.py",
    "assembly.py",
    "leaving.py",
)


def test_no_cure_is_written_anywhere_else() -> None:
    found = []
    for place in _PLACES:
        files = [NODE / place] if place.endswith(".py") else sorted((NODE / place).rglob("*.py"))
        for file in files:
            found += [f"{file.name}: {text}" for text in _texts(file) if _SOUNDS_LIKE_ONE.search(text)]
    assert found == []


def _texts(file: Path) -> list[str]:
    """String literals, without those that are documentation."""
    tree = ast.parse(file.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
