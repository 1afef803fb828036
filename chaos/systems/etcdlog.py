"""What an etcd writes into its own log about terms, votes and leaders, read while it is written.

Its status shows the term of the last entry that was applied, so after an election the new leader is told with the old
term for a second and more; the log has both at once. But it tells of a term before that is on the disk. Lines of
several lives follow each other in one file.

Why it exists: who led which term must be known exactly. It must not ask the node, and not judge.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from chaos.model import Event

READ_BYTES_MAX = 1024 * 1024
"""Of the file at a time."""

_BECAME = re.compile(r"[0-9a-f]+ became (follower|pre-candidate|candidate|leader) at term (\d+)")
_KNOWS = re.compile(
    r"raft\.node: [0-9a-f]+ (?:elected leader|changed leader from [0-9a-f]+ to) ([0-9a-f]+) at term (\d+)"
)
_LOST = re.compile(r"raft\.node: [0-9a-f]+ lost leader [0-9a-f]+ at term (\d+)")
_CAST = re.compile(r"[0-9a-f]+ \[.*\] cast (MsgPreVote|MsgVote) for ([0-9a-f]+) \[.*\] at term (\d+)")
_SECONDS = re.compile(r"(?:(\d+)m)?(?:([\d.]+)s)?(?:(\d+)ms)?")
_PHASES = {"pre-candidate": "pre-vote", "candidate": "vote", "MsgPreVote": "pre-vote", "MsgVote": "vote"}


class _Line(msgspec.Struct):
    ts: str = ""
    msg: str = ""
    logger: str = ""
    args: tuple[str, ...] = ()
    election_timeout: str = msgspec.field(name="election-timeout", default="")


_LINE = msgspec.json.Decoder(_Line)


class EtcdLog:
    """One node's log. `life`: which process wrote the last line; empty: none yet. `role`, `term`, `leader`: as Raft
    itself had them then. `durable`: a term that surely is on the disk: the one that this life found there, or the last
    one that it led, having voted for itself."""

    def __init__(self, path: Path, node: str, names: Mapping[str, str]) -> None:
        self.life = self.leader = ""
        self.role = "initial"
        self.term = self.durable = 0
        self.election_timeout_ms: float | None = None
        self._path, self._node, self._names = path, node, names
        self._offset, self._rest, self._lives, self._seq = 0, b"", 0, 0

    def read_on(self) -> list[Event]:
        """What was written since, READ_BYTES_MAX at most; nothing where the file cannot be read."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._offset:  # it was begun anew, as a rotation does
                    self._offset, self._rest = 0, b""
                file.seek(self._offset)
                content = file.read(READ_BYTES_MAX)
        except OSError:
            return []
        self._offset += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [event for line in lines if b'"raft"' in line or b"etcd" in line for event in self._take(line)]

    def read_all(self) -> None:
        """Until nothing more is there."""
        before = -1
        while self._offset != before:
            before = self._offset
            self.read_on()

    def _take(self, text: bytes) -> list[Event]:
        try:
            line = _LINE.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return []  # of Go's runtime, or cut in two by a kill
        if line.msg == "Running: " and line.args:
            self._lives += 1
            self.life, self.role, self.leader, self.term = f"{self._node}.{self._lives}", "initial", "", 0
            self.durable = 0
            return [self._told(line, "started")]
        if line.election_timeout:
            self.election_timeout_ms = _milliseconds(line.election_timeout)
        return self._raft(line) if line.logger == "raft" else []

    def _raft(self, line: _Line) -> list[Event]:
        if found := _BECAME.fullmatch(line.msg):
            return self._became(line, found[1], int(found[2]))
        if found := _KNOWS.fullmatch(line.msg):
            self.leader, self.term = self._name(found[1]), int(found[2])
            return [self._told(line, "leader", leader=self.leader)]
        if found := _LOST.fullmatch(line.msg):
            self.leader, self.term = "", int(found[1])
            return [self._told(line, "leader", leader="")]
        if found := _CAST.fullmatch(line.msg):
            whom, phase = self._name(found[2]), _PHASES[found[1]]
            return [self._told(line, "vote", candidate=whom, granted=True, phase=phase)]
        return []

    def _became(self, line: _Line, role: str, term: int) -> list[Event]:
        if not term:
            return []  # before the disk has been read
        before, self.role, self.term = self.role, role, term
        if role == "leader" or not self.durable:
            self.durable = term
        self.leader = self._node if role == "leader" else ""
        told = [self._told(line, "role", **{"from": before, "to": role})] if role != before else []
        if role in _PHASES:
            told.append(self._told(line, "election", phase=_PHASES[role]))
        if role == "leader":
            told.append(self._told(line, "won"))
        return told

    def _told(self, line: _Line, kind: str, **detail: str | int | bool) -> Event:
        self._seq += 1
        time_us = _microseconds(line.ts)
        return Event(self._seq, time_us, self._node, kind, self.term, self.role, detail, boot=self.life)

    def _name(self, member: str) -> str:
        return self._names.get(member, member)


def _microseconds(when: str) -> int:
    """Of a time such as 2026-01-31T12:00:00.123456Z since the epoch; 0 where it is none."""
    try:
        moment = datetime.fromisoformat(when)
        return int(moment.timestamp()) * 1_000_000 + moment.microsecond
    except ValueError:
        return 0


def _milliseconds(duration: str) -> float | None:
    """Of a duration such as 1s or 500ms."""
    found = _SECONDS.fullmatch(duration)
    if found is None or not any(found.groups()):
        return None
    return (int(found[1] or 0) * 60 + float(found[2] or 0)) * 1000 + int(found[3] or 0)
