"""A storage that refuses, is not there, or never answers: one sentence, with the cause, in bounded time."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from node.keeping import s3, s3_reasons
from node.keeping.places import place_of
from node.keeping.port import PlaceError
from tests.keeping.gateway import KEYS

Place = tuple[str, Path]


def said(url: str) -> str:
    """What comes of a look into that place: one line."""
    with pytest.raises(PlaceError) as refused:
        place_of(url).names()
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def test_what_a_storage_refuses_is_told_with_its_cause(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    absent = f"{endpoint} answered 404 Not Found, NoSuchBucket: The specified bucket does not exist"
    assert said("s3://no-such-bucket/a/") == f"cannot list s3://no-such-bucket/a/: {absent}"
    with pytest.raises(PlaceError, match=r"cannot write s3://no-such-bucket/x: .* NoSuchBucket"):
        place_of("s3://no-such-bucket/").note("x", "text")
    with pytest.raises(PlaceError, match=r"cannot read s3://\S+none.snap: .* answered 404 Not Found, NoSuchKey"):
        place_of(bucket[0]).fetch("none.snap", bucket[1].parent / "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    sentence = said(bucket[0])
    assert sentence.startswith(f"cannot list {bucket[0]}: {endpoint} answered 403 Forbidden, SignatureDoesNotMatch")
    assert sentence.endswith("look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The environment of a client, and a port at which nobody listens."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint := f"http://127.0.0.1:{held.getsockname()[1]}")
        yield endpoint


def test_a_storage_that_is_not_there_is_told_so(alone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "QUESTION_RETRIES_MAX", 0)
    assert said("s3://backups/") == f"cannot list s3://backups/: {alone} cannot be reached: Connection refused"


@pytest.mark.slowest
def test_a_storage_that_takes_the_connection_and_never_answers_is_given_up(
    alone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "QUESTION_SECONDS_MAX", 1)
    begun = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint := f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert said("s3://backups/") == f"cannot list s3://backups/: {endpoint} did not answer in time"
    assert time.monotonic() - begun < 10
    assert s3.QUESTION_SECONDS_MAX < s3.PART_SECONDS_MAX, "a part takes longer than a question"


def test_who_waits_for_a_silent_storage_can_end_it(alone: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        words = ("backup", "http://127.0.0.1:1", "s3://backups/", "--keep", "2")
        with subprocess.Popen([sys.executable, "-m", "node.cli", *words], env=environment) as waiting:
            held, _ = silent.accept()
            with held:
                begun = time.monotonic()
                waiting.send_signal(signal.SIGINT)
                assert waiting.wait(60) == 130
    assert time.monotonic() - begun < s3.QUESTION_SECONDS_MAX / 2


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("AWS_ENDPOINT_URL", "minio:9000", "AWS_ENDPOINT_URL is 'minio:9000': write http:// or https://"),
        ("AWS_ENDPOINT_URL", "http://minio:port", "AWS_ENDPOINT_URL is 'http://minio:port': write"),
        ("AWS_ENDPOINT_URL", "http://", "AWS_ENDPOINT_URL is 'http://': write"),
        ("AWS_ENDPOINT_URL", "http://mi nio", "AWS_ENDPOINT_URL is 'http://mi nio': write"),
        ("AWS_ACCESS_KEY_ID", "tester\n", "AWS_ACCESS_KEY_ID holds a blank or the end of a line"),
        ("AWS_SECRET_ACCESS_KEY", "tester\n", "AWS_SECRET_ACCESS_KEY holds a blank or the end of a line"),
        ("AWS_REGION", "eu west", "AWS_REGION holds a blank"),
    ],
)
def test_what_the_client_would_end_the_process_for_is_refused_before(
    alone: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    assert said("s3://backups/").startswith(sentence)


@pytest.mark.parametrize("endpoint", ["https://minio.example:9000", "http://10.0.0.1/", "https://[::1]:9000/s3", ""])
def test_endpoints_that_are_none_of_these_are_left_to_the_client(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert s3_reasons.trouble() == ""


def test_a_cause_that_nobody_foresaw_is_the_first_line_and_not_too_long() -> None:
    assert s3_reasons.reason("a new thing\nwith\nmany lines") == "a new thing"
    assert s3_reasons.reason("x" * 10_000) == "x" * s3_reasons.SENTENCE_CHARS_MAX + "..."
    asked_a_machine = "Error performing PUT http://169.254.169.254/latest/api/token in 1.7ms"
    assert s3_reasons.reason(asked_a_machine).startswith("there are no credentials: set AWS_ACCESS_KEY_ID")


@contextmanager
def serving(content: bytes, ranges: list[str]) -> Iterator[str]:
    """Gives what is asked for of one file, and notes what that was."""

    class Serving(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            ranges.append(wanted := self.headers.get("Range", "all"))
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            piece = content[int(first) : int(last) + 1] if last else content
            self.send_response(206 if last else 200)
            self.send_header("Content-Length", str(len(piece)))
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(piece) - 1}/{len(content)}")
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Sun, 29 Nov 2026 03:15:00 GMT")
            self.end_headers()
            self.wfile.write(piece)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._done("PUT")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key = body.partition(b"<Key>")[2].partition(b"</Key>")[0]
            self._done(f"POST {key.decode()}", b"<DeleteResult><Deleted><Key>%b</Key></Deleted></DeleteResult>" % key)

        def _done(self, asked: str, answer: bytes = b"") -> None:
            ranges.append(f"{asked} {self.path}")
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Serving) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 2500])
def test_a_file_is_read_in_parts_so_that_none_is_too_long_for_the_time_of_a_request(
    alone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 1000)
    content, ranges = os.urandom(size), list[str]()
    with serving(content, ranges) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        place_of("s3://backups/").fetch("a.snap", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    starts = range(0, size, 1000)
    assert [one.removeprefix("bytes=").partition("-")[0] for one in ranges] == [str(start) for start in starts]


def test_what_was_not_written_as_it_is_does_not_stay_there(
    alone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has the name of a backup: it would be counted as one, and be offered for a restore."""
    (tmp_path / "ours").write_bytes(b"what we wrote")
    asked = list[str]()
    with serving(b"what is there", asked) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(PlaceError, match="is not what was written"):
            place_of("s3://backups/").keep(tmp_path / "ours", "a.snap")
    assert asked[0].startswith("PUT ")
    assert asked[-1].startswith("POST a.snap ")
    assert asked[-1].endswith("?delete")
