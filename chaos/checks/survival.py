"""Every acknowledged write is there in the end.

Why it exists: it is the first thing that anybody is promised. The last value of a key says little of the writes before
it, so the store is asked how often each key was written, and what it held at the revision of each write. A write of
unknown outcome that took effect must not stand in for a lost one: where it could, and the store's past cannot be read,
nobody knows. It must not judge reads: see register.py.
"""

from collections.abc import Set

from chaos.checks.findings import Finding, failed
from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import seconds, short
from chaos.workload.history import Op, by_key

SURVIVE = "acknowledged-writes-survive"


def acknowledged_writes_survive(evidence: Evidence) -> Verdict:
    """After the heal every key holds its last acknowledged value or one of a later or unknown write, was written
    at least as often as was acknowledged or read, and at most as often as was attempted, and held each acknowledged
    value at the revision that was named for it."""
    findings: list[Finding] = []
    unread: list[str] = []
    masked: list[str] = []
    acknowledged = again = 0
    for key, ops in by_key(evidence.history):
        writes = [op for op in ops if op.kind == "write"]
        good = [op for op in writes if op.outcome == "ok"]
        acknowledged += len(good)
        if key in evidence.final:
            findings += _last_value(key, writes, evidence.final[key])
        elif writes:
            unread.append(key)
        past = {asked: (revision, value) for asked, revision, value in evidence.past.get(key, ())}
        asked = [op for op in good if op.revision in past]
        findings += [_not_there(op, *past[op.revision]) for op in asked if past[op.revision] != (op.revision, op.value)]
        again += len(asked)
        if evidence.final_versions:
            seen = {op.value for op in ops if op.kind == "read" and op.outcome == "ok"}
            seen |= {evidence.final.get(key)}
            counted = _Counted(key, writes, seen, evidence.final_versions.get(key, 0))
            findings += counted.findings()
            masked += counted.masked(len(good) - len(asked))
    if findings:
        return failed(SURVIVE, findings)
    if unread or not acknowledged or not evidence.final_versions:
        why = "how often each key was written could not be read at the end, so only the last value of each was seen"
        why = f"{', '.join(sorted(unread))} could not be read at the end" if unread else why
        why = why if acknowledged else "no write was acknowledged"
        return Verdict(SURVIVE, "safety", "unknown", f"Whether acknowledged writes survived is unknown: {why}.")
    if masked:
        said = f"Whether acknowledged writes survived is unknown: {masked[0]}."
        return Verdict(SURVIVE, "safety", "unknown", said, tuple(masked[1:]))
    some = "each was read again at its revision, and "
    some = some if again == acknowledged else f"{again} of them were read again at their revisions, and "
    said = "each key was written as often as that."
    said = f"All {acknowledged} acknowledged writes were there at the end: {some if again else ''}{said}"
    return Verdict(SURVIVE, "safety", "pass", said)


class _Counted:
    """How often a key was written by the store's count (`version`), against what clients were told. `seen`: the values
    that somebody read, so that those writes happened, whatever became of their answers."""

    def __init__(self, key: str, writes: list[Op], seen: Set[int | None], version: int) -> None:
        self._key, self._version = key, version
        self._good = [op for op in writes if op.outcome == "ok"]
        unknown = [op for op in writes if op.outcome == "unknown"]
        self._unknown = len(unknown)
        self._read = [op for op in unknown if op.value in seen]

    def findings(self) -> list[Finding]:
        """Fewer than surely happened, or more than can have."""
        good, read = len(self._good), len(self._read)
        said = f"{short(self._key)} was written {self._version} times, although"
        proof = tuple(self._good[-1:] + self._read[-1:])
        if self._version < good + read:
            lost = good + read - self._version
            via = ", ".join(sorted({op.via for op in self._good}))
            also = f", and {read} of unknown outcome {'was' if read == 1 else 'were'} read" if read else ""
            gone = f"{lost} of them {'is' if lost == 1 else 'are'} lost"
            return [Finding(f"{said} {via} acknowledged {good} writes of it{also}: {gone}", proof)]
        if self._version > good + self._unknown:
            said = f"{said} only {good} writes of it were acknowledged and {self._unknown} are of unknown outcome"
            return [Finding(f"{said}: something was written twice", tuple(self._good[-1:]))]
        return []

    def masked(self, not_again: int) -> list[str]:
        """How many lost writes the count cannot show, as unknown ones may stand in for them: a clause. `not_again`: of
        the acknowledged ones that were not read again at their revision."""
        most = min(len(self._good) + self._unknown - self._version, not_again)
        if most <= 0:
            return []
        some = f"{not_again} acknowledged writes of {short(self._key)} could not be read again at their revisions"
        return [f"{some}, and up to {most} of unknown outcome may stand in for lost ones"]


def _last_value(key: str, writes: list[Op], final: int) -> list[Finding]:
    last = max((op for op in writes if op.outcome == "ok"), key=lambda op: op.value or 0, default=None)
    write = next((op for op in writes if op.value == final), None)
    if final and write is None:
        return [Finding(f"{short(key)} ended as {final}, a value that nobody ever wrote", (last,) if last else ())]
    if write is not None and write.outcome == "fail":
        said = f"{short(key)} ended as {final}, although {write.via} had said that this write did not happen"
        return [Finding(said, (write,))]
    if last is None or (last.value or 0) <= final or (write is not None and write.outcome == "unknown"):
        return []
    ended = f"ended as {final}" if final else "is gone"
    return [
        Finding(
            f"{short(key)} {ended}, although {last.via} had acknowledged {last.value} at {seconds(last.done_us)}",
            (last,),
        )
    ]


def _not_there(op: Op, revision: int, value: int) -> Finding:
    seen = f"it held {value} of revision {revision} then" if revision else "nothing was there then"
    said = f"{op.via} acknowledged {short(op.key)} = {op.value} at {seconds(op.done_us)} as revision {op.revision}"
    return Finding(f"{said}, and {seen}: the write is lost", (op,))
