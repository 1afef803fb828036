"""A certificate, its key and its authorities as files: contexts for handshakes made of them, or a sentence why not.

Why it exists: files are replaced while a node runs (a Secret by a swap of a symbolic link), perhaps one after the
other, perhaps by something broken; so what is made of them is made whole, or not at all. It reads files, so it belongs
on a thread of its own. It must not decide what becomes of a refusal, and must not know time: it is told.
"""

import calendar
import ssl
from collections.abc import Iterator

import msgspec

from node.file_stamps import stamp_of
from node.tls.alerts import TellingContext

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption alone. TLS 1.3 has no others."""
CLIENT_PROTOCOLS = ("http/1.1", "h2")
"""What a client's port speaks, by ALPN, in the order of choice: browsers and curl offer both, and over HTTP/2
a node speaks gRPC alone, whose clients offer nothing else. Who offers none is told apart by its first bytes."""
FILE_BYTES_MAX = 1024 * 1024


class TlsError(Exception):
    """These files are of no use; the message is one sentence that names the file and the cure."""


class TlsFiles(msgspec.Struct, frozen=True):
    """Paths. `ca`: who the other side's certificate must be signed by; empty: none is demanded."""

    cert: str
    key: str
    ca: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path in (self.cert, self.key, self.ca) if path)

    def stamps(self) -> tuple[tuple[int, int, int], ...]:
        """What differs once a file was replaced: its inode, time and size, through symbolic links."""
        return tuple(stamp_of(path) for path in self.paths)


class Contexts(msgspec.Struct, frozen=True):
    """What handshakes are made with. `dial` None: nobody is dialled with these. Times are of the own certificate,
    seconds since the epoch."""

    accept: ssl.SSLContext
    dial: ssl.SSLContext | None
    not_before_s: int
    not_after_s: int


def contexts(files: TlsFiles, protocols: tuple[str, ...] = (), *, dials: bool = False) -> Contexts:
    """Read the files. `protocols`: for ALPN; `dials`: the same certificate is shown where this node dials. Raises
    TlsError."""
    begins, ends = validity(files.cert)
    accept = _context(ssl.PROTOCOL_TLS_SERVER, files)
    accept.verify_mode = ssl.CERT_REQUIRED if files.ca else ssl.CERT_NONE
    if protocols:
        accept.set_alpn_protocols(list(protocols))
    if not dials:
        return Contexts(accept, None, begins, ends)
    accept.num_tickets = 0  # nobody who dials this port comes back with one
    dial = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    dial.check_hostname = False  # names are judged by node.tls.names: members are dialled by addresses
    dial.verify_mode = ssl.CERT_REQUIRED
    return Contexts(accept, dial, begins, ends)


def validity(path: str) -> tuple[int, int]:
    """From when to when the first certificate in the file is valid, seconds since the epoch. Raises TlsError."""
    text = _read(path).decode("ascii", errors="replace")
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    try:
        if begin < 0 or end < begin:
            raise ValueError("no certificate in PEM")
        return _validity(ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)]))
    except (ValueError, IndexError, StopIteration):
        raise TlsError(f"{path} holds no certificate in PEM form: give one, its issuers after it") from None


def _context(role: "ssl._SSLMethod", files: TlsFiles) -> ssl.SSLContext:
    made = TellingContext(role)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    for path in files.paths:
        _read(path)
    try:
        made.load_cert_chain(files.cert, files.key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise TlsError(
            f"{files.key} is not the key of {files.cert}, without a password: give both of one pair"
        ) from error
    if files.ca:
        try:
            made.load_verify_locations(cafile=files.ca)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(f"{files.ca} holds no certificates in PEM form: give those of the authorities") from error
    return made


def _no_password() -> str:
    """Else a key with a password would be asked for on the terminal."""
    return ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > FILE_BYTES_MAX:
        raise TlsError(f"{path} is longer than {FILE_BYTES_MAX} bytes, so it is no certificate or key")
    return content


# --- of X.509 where the two times stand, and no more: Python tells them of a peer's certificate alone ---------------

_SEQUENCE, _VERSION, _UTC_TIME, _GENERAL_TIME = 0x30, 0xA0, 0x17, 0x18


def _validity(der: bytes) -> tuple[int, int]:
    certificate = next(_elements(der))[1]
    fields = [field for field in _elements(next(_elements(certificate))[1]) if field[0] != _VERSION]
    times = list(_elements(fields[3][1]))  # after serial number, algorithm and issuer
    if fields[3][0] != _SEQUENCE or len(times) != 2:
        raise ValueError("no validity")
    return _time(*times[0]), _time(*times[1])


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element, one after the other."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            more = length & 0x7F
            length = int.from_bytes(der[at : at + more], "big")
            at += more
        if at + length > len(der):
            raise ValueError("cut short")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, text: bytes) -> int:
    digits = text.removesuffix(b"Z").decode("ascii")
    if tag == _UTC_TIME:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    elif tag != _GENERAL_TIME:
        raise ValueError("no time")
    year, *rest = int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2))
    month, day, hour, minute, second = rest
    return calendar.timegm((year, month, day, hour, minute, second))
