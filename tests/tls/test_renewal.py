"""Files of certificates: what is taken, what is refused in a sentence, and what stays in force."""

import asyncio
import datetime
from pathlib import Path

import pytest
import trustme

from node.tls.counts import TlsCounts
from node.tls.files import TlsError, TlsFiles, contexts, validity
from node.tls.renewal import Renewing
from tests.tls.certificates import EXPIRED, Mounted, now


class Told:
    """Counts, and a clock on the wall that a test sets."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, str | int | bool]]] = []
        self.loop_s = 0.0
        self.wall_s = now().timestamp()
        self.counts = TlsCounts(lambda kind, detail: self.events.append((kind, detail)), lambda: self.loop_s)

    def renewing(self, mounted: Mounted) -> Renewing:
        return Renewing("client", TlsFiles(mounted.cert, mounted.key, mounted.ca), self.counts, lambda: self.wall_s)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    made = Mounted(tmp_path / "certs")
    made.put("n1", by=trustme.CA())
    return made


async def _looked(renewing: Renewing) -> None:
    """One look, and what it has the loop do."""
    renewing.look(asyncio.get_running_loop())
    await asyncio.sleep(0)


def _over(path: str, content: bytes | None) -> None:
    """Over the very file, not by a swap; None: away with it."""
    file = Path(path).resolve()
    file.unlink()
    if content is not None:
        file.write_bytes(content)


@pytest.mark.parametrize("year", [1999, 2049, 2050, 2199])
def test_the_times_of_a_certificate_are_read_in_both_forms(tmp_path: Path, year: int) -> None:
    begins, ends = (datetime.datetime(at, 2, 28, 23, 59, 58, tzinfo=datetime.UTC) for at in (year - 1, year))
    mounted = Mounted(tmp_path)
    mounted.put("n1", by=trustme.CA(), not_before=begins, not_after=ends)
    assert validity(mounted.cert) == (begins.timestamp(), ends.timestamp())


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("cert", b"", "holds no certificate in PEM form"),
        ("cert", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate in PEM form"),
        ("cert", b"-----BEGIN CERTIFICATE-----\nMP//\n-----END CERTIFICATE-----\n", "holds no certificate in PEM form"),
        ("cert", b"x" * (1024 * 1024 + 1), "is longer than"),
        ("key", b"", "is not the key of"),
        ("ca", b"", "holds no certificates in PEM form"),
    ],
)
def test_what_is_of_no_use_is_refused_by_a_sentence_that_names_the_file(
    mounted: Mounted, file: str, content: bytes, sentence: str
) -> None:
    path = Path(getattr(mounted, file))
    path.resolve().write_bytes(content)
    with pytest.raises(TlsError, match=f"^{path}.* {sentence}|{path} {sentence}"):
        contexts(TlsFiles(mounted.cert, mounted.key, mounted.ca))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(TlsError, match=r"^/nowhere/tls\.crt cannot be read: No such file"):
        contexts(TlsFiles("/nowhere/tls.crt", "/nowhere/tls.key"))


async def test_new_files_are_taken_once(told: Told, mounted: Mounted) -> None:
    renewing = told.renewing(mounted)
    first = renewing.now
    await _looked(renewing)
    assert renewing.now is first
    mounted.put("n1", by=trustme.CA())
    await _looked(renewing)
    second = renewing.now
    await _looked(renewing)
    assert (second is not first, renewing.now is second, told.kinds) == (True, True, ["tls-renewed"])


async def test_half_of_a_renewal_changes_nothing_and_the_other_half_completes_it(told: Told, mounted: Mounted) -> None:
    renewing = told.renewing(mounted)
    first = renewing.now
    made = trustme.CA().issue_cert("n1")
    _over(mounted.cert, made.cert_chain_pems[0].bytes())
    await _looked(renewing)
    assert (renewing.now is first, told.kinds) == (True, ["tls-not-renewed"])
    assert "is not the key" in told.counts.certificates["client"].error
    _over(mounted.key, made.private_key_pem.bytes())
    await _looked(renewing)
    assert (renewing.now is first, told.kinds) == (False, ["tls-not-renewed", "tls-renewed"])
    assert told.counts.certificates["client"].error == ""


async def test_files_that_vanish_leave_in_force_what_there_is(told: Told, mounted: Mounted) -> None:
    renewing = told.renewing(mounted)
    first = renewing.now
    _over(mounted.key, None)
    await _looked(renewing)
    assert (renewing.now is first, told.counts.reloads) == (True, {("client", "refused"): 1})


async def test_one_that_is_not_valid_yet_is_taken_when_its_time_has_come(told: Told, mounted: Mounted) -> None:
    renewing = told.renewing(mounted)
    first = renewing.now
    mounted.put("n1", by=trustme.CA(), not_before=now() + datetime.timedelta(hours=1))
    await _looked(renewing)
    await _looked(renewing)
    assert (renewing.now is first, told.kinds) == (True, ["tls-not-renewed"])
    told.wall_s += 3700
    await _looked(renewing)
    assert (renewing.now is first, told.kinds) == (False, ["tls-not-renewed", "tls-renewed"])


async def test_a_node_starts_with_a_certificate_that_has_expired_and_says_so(told: Told, mounted: Mounted) -> None:
    mounted.put("n1", by=trustme.CA(), **EXPIRED)
    renewing = told.renewing(mounted)
    assert renewing.now.not_after_s < told.wall_s
    assert "has expired" in str(told.events[0][1]["reason"])


def test_a_flood_of_refusals_is_a_line_in_ten_seconds_and_every_one_is_counted(told: Told) -> None:
    for _ in range(1000):
        told.counts.refuse("client", "plain", "it does not speak TLS")
    assert [detail["count"] for _, detail in told.events] == [1]
    told.loop_s = 10.0
    told.counts.refuse("client", "plain", "it does not speak TLS")
    assert [detail["count"] for _, detail in told.events] == [1, 1000]
    assert told.counts.refused == {("client", "plain"): 1001}
