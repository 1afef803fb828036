"""Record anew what etcd answers: `make record-etcd`, then read the diff.

Why it exists: where no etcd is at hand, the suite judges by these files. `cases.ndjson`: the answers to `cases()`, in
order; `generated.ndjson`: requests of the generator and their answers; `members.ndjson` and `leases.ndjson`: to those
of `member_story` and `lease_story`; `watches.ndjson`: what it said in each step of `watch_story`, and
`turns.ndjson` of `turn_story`; `etcdctl.ndjson`: what etcdctl printed in each step of `ctl_story`, where there is one;
`auth.ndjson` and `auth-etcdctl.ndjson`: the same of `auth_story`.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from tests.etcd import auth_story, ctl_story, lease_story, member_story, turn_story, watch_story
from tests.etcd.cases import cases
from tests.etcd.comparison import Answer, Client
from tests.etcd.ctl import Ctl, Said, Step, ctl_program
from tests.etcd.generator import Generator, Request
from tests.etcd.processes import etcd_program, running_etcd

FOLDER = Path(__file__).parent / "recorded"
SEED = 36
GENERATED = 1200


class Exchange(NamedTuple):
    """A request and what etcd answered."""

    request: Request
    answer: Answer


def recorded_cases() -> list[Exchange]:
    """What `cases()` asks now, with what was answered; raises where one changed since."""
    lines = _lines("cases")
    asked = cases()
    if [crc32(request.body) for request in asked] != [line["crc32"] for line in lines]:
        raise AssertionError("the cases are not those that were recorded: make record-etcd")
    return [
        Exchange(request, Answer(line["status"], line["answer"])) for request, line in zip(asked, lines, strict=True)
    ]


def recorded_generated() -> list[Exchange]:
    """Requests that were generated once. Bodies are written as if their bytes were Latin-1."""
    return [
        Exchange(Request(line["path"], line["body"].encode("latin-1")), Answer(line["status"], line["answer"]))
        for line in _lines("generated")
    ]


def recorded_members() -> list[Exchange]:
    """What `member_story` asks now, with what was answered; raises where one changed since."""
    return _recorded_story("members", member_story.requests())


def recorded_leases() -> list[Exchange]:
    """What `lease_story` asks likewise."""
    return _recorded_story("leases", lease_story.requests())


def _recorded_story(name: str, asked: list[Request]) -> list[Exchange]:
    lines = _lines(name)
    if [(request.path, request.body.decode()) for request in asked] != [(line["path"], line["body"]) for line in lines]:
        raise AssertionError("the requests are not those that were recorded: make record-etcd")
    return [
        Exchange(request, Answer(line["status"], line["answer"])) for request, line in zip(asked, lines, strict=True)
    ]


def recorded_watches() -> list[list[Any]]:
    """What was said in each step of `watch_story`; raises where a step changed since."""
    lines = _lines("watches")
    if [repr(step) for step in watch_story.STEPS] != [line["step"] for line in lines]:
        raise AssertionError("the steps are not those that were recorded: make record-etcd")
    return [line["said"] for line in lines]


def recorded_turns() -> list[Any]:
    """What was answered in `turn_story`."""
    return [line["said"] for line in _lines("turns")]


def recorded_ctl() -> list[list[Said]]:
    """What etcdctl printed in each step of `ctl_story`; raises where a step changed since."""
    return _recorded_said("etcdctl", ctl_story.STEPS)


def recorded_auth_ctl() -> list[list[Said]]:
    """The same of `auth_story`."""
    return _recorded_said("auth-etcdctl", auth_story.STEPS)


def recorded_auth() -> list[Answer]:
    """What etcd answered to each request of `auth_story`; raises where one changed since."""
    lines = _lines("auth")
    if [repr(asked) for asked in auth_story.requests()] != [line["asked"] for line in lines]:
        raise AssertionError("the requests are not those that were recorded: make record-etcd")
    return [Answer(line["status"], line["answer"]) for line in lines]


def _recorded_said(name: str, steps: Sequence[Step]) -> list[list[Said]]:
    lines = _lines(name)
    if [repr(step) for step in steps] != [line["step"] for line in lines]:
        raise AssertionError("the steps are not those that were recorded: make record-etcd")
    return [[Said(*said) for said in line["said"]] for line in lines]


def main() -> int:
    """Start an etcd for each file and write it; 1 where there is no etcd."""
    program = etcd_program()
    if program is None:
        print("no etcd: put one on PATH, or name it in ETCD", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    for name, exchanges in _ASKED.items():
        with tempfile.TemporaryDirectory() as folder, running_etcd(program, Path(folder)) as port, Client(port) as etcd:
            written = [json.dumps(line, separators=(",", ":")) for line in exchanges(etcd)]
        (FOLDER / f"{name}.ndjson").write_text("\n".join(written) + "\n")
        print(f"{name}: {len(written)} answers")
    with tempfile.TemporaryDirectory() as folder, running_etcd(program, Path(folder)) as port:
        _write_watches(watch_story.said(port))
    with tempfile.TemporaryDirectory() as folder, running_etcd(program, Path(folder)) as port:
        _write_turns(turn_story.said(port))
    with tempfile.TemporaryDirectory() as folder, running_etcd(program, Path(folder)) as port:
        _write_auth(port)
    ctl = ctl_program()
    if ctl is None:
        print("no etcdctl: what it prints is not recorded; put it on PATH, or name it in ETCDCTL", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, running_etcd(program, Path(folder)) as port:
        _write_ctl("etcdctl", Ctl(ctl, port, Path(folder)), ctl_story.STEPS)
    with tempfile.TemporaryDirectory() as folder, running_etcd(program, Path(folder)) as port:
        _write_ctl("auth-etcdctl", Ctl(ctl, port, Path(folder)), auth_story.STEPS)
    return 0


def _write_ctl(name: str, ctl: Ctl, steps: Sequence[Step]) -> None:
    rows = ({"step": repr(step), "said": ctl.said(step)} for step in steps)
    (FOLDER / f"{name}.ndjson").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def _write_auth(port: int) -> None:
    rows = (
        {"asked": repr(asked), "status": answer.status, "answer": answer.body}
        for asked, answer in zip(auth_story.requests(), auth_story.answers(port), strict=True)
    )
    (FOLDER / "auth.ndjson").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def _write_watches(said: list[list[Any]]) -> None:
    rows = ({"step": repr(step), "said": lines} for step, lines in zip(watch_story.STEPS, said, strict=True))
    (FOLDER / "watches.ndjson").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def _write_turns(said: list[Any]) -> None:
    (FOLDER / "turns.ndjson").write_text("".join(json.dumps({"said": one}) + "\n" for one in said))


def _ask_cases(etcd: Client) -> Iterator[dict[str, Any]]:
    for request in cases():
        answer = etcd.post(request)
        yield {"crc32": crc32(request.body), "status": answer.status, "answer": answer.body}


def _ask_generated(etcd: Client) -> Iterator[dict[str, Any]]:
    generator, revision = Generator(SEED), 1
    for _ in range(GENERATED):
        request = generator.next(revision)
        answer = etcd.post(request)
        revision = max(revision, answer.revision)
        body = request.body.decode("latin-1")
        yield {"path": request.path, "body": body, "status": answer.status, "answer": answer.body}


def _ask_members(etcd: Client) -> Iterator[dict[str, Any]]:
    for request, answer in zip(member_story.requests(), member_story.answers(etcd), strict=True):
        body = request.body.decode()
        yield {"path": request.path, "body": body, "status": answer.status, "answer": answer.body}


def _ask_leases(etcd: Client) -> Iterator[dict[str, Any]]:
    for request, answer in zip(lease_story.requests(), lease_story.answers(etcd), strict=True):
        body = request.body.decode()
        yield {"path": request.path, "body": body, "status": answer.status, "answer": answer.body}


_ASKED = {"cases": _ask_cases, "generated": _ask_generated, "members": _ask_members, "leases": _ask_leases}


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.ndjson").read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
