"""The load generator: one process, N keep-alive connections, one request at a time on each.

Why it exists: what loads a server must cost less than the server, so this speaks just enough HTTP/1.1 over bare
asyncio protocols: requests are made before the clock starts, answers are searched for their length and no more.
It must not judge what an answer says beyond its status. `python -m benchmarks.load` reads a `Load` as JSON from
standard input and writes a `Tally` to standard output.
"""

import asyncio
import random
import ssl
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from typing import cast

import msgspec

CONNECT_SECONDS_MAX = 10.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024
PAUSE_AFTER_ERROR_S = 0.01
"""Between a refusal and the next request on that connection: a cluster without a leader is not to be flooded."""

KEYS_PREPARED_MAX = 100_000
SLAB_KEYS = KEYS_PREPARED_MAX
"""Keys of one load at most, where each is to be written once."""

PUTS_PER_TXN = 128
"""Of the kind "v3-txn": as many as etcd allows by default."""

SEED = 20_250_101


class Load(msgspec.Struct, frozen=True):
    """What to do. `targets`: (host, port), used round-robin by the connections. `kind`: see `requests_for`.

    It ends after `seconds` that follow `warmup_s`, or with `count` above 0 after so many answers, all of them counted.
    Keys run from `first_key` through `keys` of them, again and again. `head`: header lines that every request has
    beside its own. `ca`: a file of who signs the server's certificate; empty: no TLS.
    """

    targets: list[tuple[str, int]]
    kind: str
    clients: int
    seconds: float
    warmup_s: float = 0.5
    count: int = 0
    keys: int = 10_000
    first_key: int = 0
    value_bytes: int = 255
    head: str = ""
    ca: str = ""


class Tally(msgspec.Struct, frozen=True):
    """What came of it. Latencies in milliseconds, of answers with status 200; `errors` by status or reason."""

    done: int
    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: dict[str, int]
    cpu_share: float
    """How much of one core the generator itself used."""


def _json_post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def puts_per_request(kind: str) -> int:
    """How many keys one request of that kind is about."""
    return PUTS_PER_TXN if kind == "v3-txn" else 1


def _key(number: int) -> str:
    return f"bench/{number:08d}"


def requests_for(load: Load) -> list[bytes]:
    """Every request of `load.kind`, one per key, as it goes over the wire.

    Kinds: "v3-put", "v3-range", "v3-range-stale" are etcd's JSON API; "kv-put", "kv-get", "kv-get-stale" the plain
    one of this project. "v3-txn" puts many keys in one transaction, and there are so much fewer of them.
    """
    value = random.Random(SEED).randbytes(load.value_bytes)
    value64 = b64encode(value).decode()
    made = []
    numbers = range(load.first_key, load.first_key + min(load.keys, KEYS_PREPARED_MAX))
    for number in numbers[:: puts_per_request(load.kind)]:
        key = _key(number)
        key64 = b64encode(key.encode()).decode()
        match load.kind:
            case "v3-put":
                request = _json_post("/v3/kv/put", f'{{"key":"{key64}","value":"{value64}"}}'.encode())
            case "v3-txn":
                keys = (
                    b64encode(_key(each).encode()).decode()
                    for each in range(number, number + PUTS_PER_TXN)
                    if each in numbers
                )
                puts = ",".join(f'{{"request_put":{{"key":"{each}","value":"{value64}"}}}}' for each in keys)
                request = _json_post("/v3/kv/txn", f'{{"success":[{puts}]}}'.encode())
            case "v3-range":
                request = _json_post("/v3/kv/range", f'{{"key":"{key64}"}}'.encode())
            case "v3-range-stale":
                request = _json_post("/v3/kv/range", f'{{"key":"{key64}","serializable":true}}'.encode())
            case "kv-put":
                head = f"PUT /kv/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(value)}\r\n\r\n"
                request = head.encode() + value
            case "kv-get":
                request = f"GET /kv/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            case "kv-get-stale":
                request = f"GET /kv/{key}?consistency=stale HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            case _:
                raise ValueError(f"there is no kind of load called {load.kind!r}")
        line, rest = request.split(b"\r\n", 1)
        made.append(b"%b\r\n%b%b" % (line, load.head.encode(), rest))
    return made


def answer_end(data: bytes) -> int:
    """Where the first answer in `data` ends; -1 while it is not all there."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return -1
    at = data.find(b"ontent-Length: ", 0, head_end)
    if at < 0:
        at = data.find(b"ontent-length: ", 0, head_end)
    if at >= 0:
        end = head_end + 4 + int(data[at + 15 : data.find(b"\r\n", at)])
        return end if end <= len(data) else -1
    last = data.find(b"\r\n0\r\n\r\n", head_end)  # chunked: Go's servers do that to longer answers
    return last + 7 if last >= 0 else -1


class _Run:
    """What all connections share. `recording` is whether answers count now."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.requests = requests_for(load)
        self.next = 0
        self.recording = False
        self.over = False
        self.latencies: list[float] = []
        self.errors: dict[str, int] = {}
        self.ended = asyncio.Event()
        self.open = 0

    def take(self) -> bytes | None:
        """The next request; None: there is no more to do."""
        if self.over or (self.load.count and self.next >= self.load.count):
            return None
        request = self.requests[self.next % len(self.requests)]
        self.next += 1
        return request

    def error(self, reason: str) -> None:
        if not self.over:
            self.errors[reason] = self.errors.get(reason, 0) + 1


class _Client(asyncio.Protocol):
    """One connection: send, wait for the whole answer, note the time, send again."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent_at = 0.0
        self._write: Callable[[bytes], None] = _not_connected
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of asyncio's
        self._write = self._transport.write
        self._run.open += 1

    def send(self) -> None:
        request = self._run.take()
        if request is None:
            if self._transport is not None:
                self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = answer_end(data)
        if end < 0:
            self._buffer = data
            if len(data) > ANSWER_BYTES_MAX and self._transport is not None:
                self._run.error("too long")
                self._transport.abort()
            return
        self._buffer = data[end:]
        run = self._run
        if data[9:12] == b"200":
            if run.recording:
                run.latencies.append(time.perf_counter() - self._sent_at)
            self.send()
            return
        run.error(data[9:12].decode(errors="replace"))
        asyncio.get_running_loop().call_later(PAUSE_AFTER_ERROR_S, self.send)

    def connection_lost(self, _exc: Exception | None) -> None:
        run = self._run
        run.open -= 1
        if run.take() is not None:
            run.error("connection lost")
        if run.open == 0:
            run.ended.set()


def _not_connected(_data: bytes) -> None:
    raise RuntimeError("this connection is not open")


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie, which must be sorted; 0 for none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


async def run_load(load: Load) -> Tally:
    """Connect everything, warm up, measure, close."""
    loop = asyncio.get_running_loop()
    run = _Run(load)
    clients = []
    tls = ssl.create_default_context(cafile=load.ca) if load.ca else None
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        for number in range(load.clients):
            host, port = load.targets[number % len(load.targets)]
            clients.append((await loop.create_connection(lambda: _Client(run), host, port, ssl=tls))[1])
    run.recording = bool(load.count)
    began, cpu_began = time.perf_counter(), time.process_time()
    for client in clients:
        client.send()
    if load.count:
        async with asyncio.timeout(load.seconds):
            await run.ended.wait()
    else:
        await asyncio.sleep(load.warmup_s)
        run.recording = True
        began, cpu_began = time.perf_counter(), time.process_time()
        await asyncio.sleep(load.seconds)
        run.recording = False
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    run.over = True
    if run.open:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            await run.ended.wait()
    latencies = sorted(run.latencies)
    return Tally(
        done=len(latencies),
        seconds=round(seconds, 3),
        per_second=round(len(latencies) / seconds, 1),
        p50_ms=round(percentile(latencies, 0.50) * 1000, 3),
        p99_ms=round(percentile(latencies, 0.99) * 1000, 3),
        max_ms=round(percentile(latencies, 1.0) * 1000, 3),
        errors=run.errors,
        cpu_share=round(cpu / seconds, 3),
    )


def main() -> None:
    """One load from standard input, its tally to standard output."""
    import uvloop

    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(msgspec.json.encode(runner.run(run_load(load))))


if __name__ == "__main__":
    main()
