"""Every acknowledged write is there in the end.

Why it exists: it is the first thing that anybody is promised. The last value of a key says little of the writes before
it, so the store is asked how often each key was written, and what it held at the revision of each write. A write of
unknown outcome that took effect must not stand in for a lost one: where it could, and the store's past cannot be read,
nobody knows. It must not judge reads: see register.py.
"""

from collections.abc import Sequence

from chaos.checks.findings import Finding, failed
from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import seconds, short
from chaos.workload.history import Op, Part, PastRead, by_key

SURVIVE = "acknowledged-writes-survive"


def acknowledged_writes_survive(evidence: Evidence) -> Verdict:
    """After the heal every key holds its last acknowledged value or one of a later or unknown write, was written
    at least as often as was acknowledged or read, and at most as often as was attempted, and held each acknowledged
    value at the revision that was named for it."""
    findings: list[Finding] = []
    unread: list[str] = []
    masked: list[str] = []
    acknowledged = again = 0
    for key, ops in by_key(evidence.history).items():
        happened = _Happened(key, ops)
        good = happened.good
        acknowledged += len(good)
        if key in evidence.final:
            findings += happened.last_value(evidence.final[key])
        elif happened.writes:
            unread.append(key)
        lost, asked = happened.not_there(evidence.past.get(key, ()))
        findings += lost
        again += asked
        if evidence.final_versions:
            version = evidence.final_versions.get(key, 0)
            findings += happened.miscounted(version, evidence.final.get(key))
            masked += happened.masked(version, len(good) - asked)
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


class _Happened:
    """What clients were told of the writes of one key, against what the store holds of it: places in the history, of
    which few are ever looked at closer."""

    def __init__(self, key: str, ops: Part) -> None:
        self.key, self.history = key, ops.history
        self.writes, self.good = list(ops.places("write")), list(ops.places("write", "ok"))
        self._unknown = list(ops.places("write", "unknown"))
        self._reads = ops.places("read", "ok")

    def last_value(self, final: int) -> list[Finding]:
        """What it ended as is older than what was acknowledged, or cannot be there."""
        value = self.history.value
        last = max(self.good, key=value.__getitem__, default=None)
        newest = 0 if last is None else max(0, value[last])
        write = next((place for place in self.writes if value[place] == final), None)
        if final and write is None:
            said = f"{short(self.key)} ended as {final}, a value that nobody ever wrote"
            return [Finding(said, () if last is None else (self.history[last],))]
        if write is not None and self.history.outcome(write) == "fail":
            via = self.history.via(write)
            said = f"{short(self.key)} ended as {final}, although {via} had said that this write did not happen"
            return [Finding(said, (self.history[write],))]
        if last is None or newest <= final or (write is not None and self.history.outcome(write) == "unknown"):
            return []
        ended = f"ended as {final}" if final else "is gone"
        said = f"although {self.history.via(last)} had acknowledged {newest} at {seconds(self.history.done_us[last])}"
        return [Finding(f"{short(self.key)} {ended}, {said}", (self.history[last],))]

    def not_there(self, past: Sequence[PastRead]) -> tuple[list[Finding], int]:
        """Acknowledged writes that were not there at their revision; and how many were asked for."""
        revision, value = self.history.revision, self.history.value
        held = {one[0]: one for one in past}
        asked = [place for place in self.good if revision[place] in held]
        gone = [place for place in asked if held[revision[place]][1:] != (revision[place], value[place])]
        return [_not_there(self.history[place], *held[revision[place]][1:]) for place in gone], len(asked)

    def miscounted(self, version: int, final: int | None) -> list[Finding]:
        """It was written less often than surely happened, or more often than can have. `version`: the store's count.
        What somebody read, in the end too, happened, whatever became of the answer to the write."""
        value = self.history.value
        seen = {value[place] for place in self._unknown}
        seen &= {final, *filter(seen.__contains__, map(value.__getitem__, self._reads))}
        read_again = [place for place in self._unknown if value[place] in seen]
        good, read = len(self.good), len(read_again)
        said = f"{short(self.key)} was written {version} times, although"
        proof = tuple(self.history[place] for place in self.good[-1:] + read_again[-1:])
        if version < good + read:
            lost = good + read - version
            via = ", ".join(sorted(set(map(self.history.via, self.good))))
            also = f", and {read} of unknown outcome {'was' if read == 1 else 'were'} read" if read else ""
            gone = f"{lost} of them {'is' if lost == 1 else 'are'} lost"
            return [Finding(f"{said} {via} acknowledged {good} writes of it{also}: {gone}", proof)]
        if version > good + len(self._unknown):
            said = f"{said} only {good} writes of it were acknowledged and {len(self._unknown)} are of unknown outcome"
            return [Finding(f"{said}: something was written twice", proof[: len(self.good[-1:])])]
        return []

    def masked(self, version: int, not_again: int) -> list[str]:
        """How many lost writes the count cannot show, as unknown ones may stand in for them: a clause. `not_again`: of
        the acknowledged ones that were not read again at their revision."""
        most = min(len(self.good) + len(self._unknown) - version, not_again)
        if most <= 0:
            return []
        some = f"{not_again} acknowledged writes of {short(self.key)} could not be read again at their revisions"
        return [f"{some}, and up to {most} of unknown outcome may stand in for lost ones"]


def _not_there(op: Op, revision: int, value: int) -> Finding:
    seen = f"it held {value} of revision {revision} then" if revision else "nothing was there then"
    said = f"{op.via} acknowledged {short(op.key)} = {op.value} at {seconds(op.done_us)} as revision {op.revision}"
    return Finding(f"{said}, and {seen}: the write is lost", (op,))
