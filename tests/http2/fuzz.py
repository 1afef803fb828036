"""A fuzzer that follows the code through the connection, for as long as one likes.

Why it exists: hypothesis does not see which bytes lead further; in an hour this one does. It must not judge: see
`fuzzing.sent`.

    python -m tests.http2.fuzz SECONDS [FOLDER]

atheris must be installed beside. FOLDER keeps what led further.
"""

import asyncio
import sys

import atheris

with atheris.instrument_imports(include=["node.api", "hpack"]):
    from tests.http2.fuzzing import INPUT_BYTES_MAX, Server, sent

INPUTS_PER_SERVER = 500
"""Its store grows with them; to make one takes longer than most inputs."""

INPUT_SECONDS_MAX = 20
MEMORY_MIB_MAX = 2048


def main() -> None:
    """Go on for so many seconds."""
    with asyncio.Runner() as runner:
        server: list[Server] = []
        inputs = 0

        def one(data: bytes) -> None:
            nonlocal inputs
            if not inputs % INPUTS_PER_SERVER:
                server[:] = [Server(runner.get_loop())]
            inputs += 1
            runner.run(sent(data, server[0]))

        flags = [f"-max_total_time={sys.argv[1]}", f"-max_len={INPUT_BYTES_MAX}"]
        flags += [f"-timeout={INPUT_SECONDS_MAX}", f"-rss_limit_mb={MEMORY_MIB_MAX}"]
        atheris.Setup([sys.argv[0], *flags, *sys.argv[2:]], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
