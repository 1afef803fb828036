"""`python -m node.healthcheck [livez|readyz]` asks the node of this very container how it is. Exit code 0: well.

Why it exists: a container engine that has no HTTP probes runs a command, again and again, for ever. It must stay cheap:
one request over a plain socket, for `http.client` alone would double what it costs. It must import nothing else of
`node`, and judge nothing: the node's own endpoints do.
"""

import os
import socket
import sys

TIMEOUT_SECONDS = 4.0
"""Less than the engine's own, so that the reason can still be told."""
ANSWER_BYTES_MAX = 4096
_EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def check(path: str, environment: dict[str, str]) -> str:
    """What is wrong, in a sentence; empty where the node answers 200. Reads RAFT_HOST, RAFT_PORT and RAFT_TLS_... as it
    does. It shows the node's own certificate where one is demanded, and asks for no proof of this very container."""
    host, port = environment.get("RAFT_HOST", "").strip(), environment.get("RAFT_PORT", "").strip() or "8001"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return f"RAFT_PORT is {port!r}, which is no port"
    address = (_EVERY_ADDRESS.get(host, host), int(port))
    answer = b""
    try:
        with _connection(address, environment) as connection:
            connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            while len(answer) < ANSWER_BYTES_MAX:
                piece = connection.recv(ANSWER_BYTES_MAX)
                if not piece:
                    break
                answer += piece
    except (OSError, UnicodeError) as error:  # a host name that cannot be one is the second; OSError is TLS's, too
        return f"no answer from {address[0]} port {address[1]}: {error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].split(b" ")
    if len(status) > 1 and status[0].startswith(b"HTTP/1.") and status[1] == b"200":
        return ""
    return f"/{path} of port {address[1]}: {(body or head or b'an empty answer').decode(errors='replace').strip()}"


def _connection(address: tuple[str, int], environment: dict[str, str]) -> socket.socket:
    plain = socket.create_connection(address, timeout=TIMEOUT_SECONDS)
    if environment.get("RAFT_TLS_ACCEPT", "plain") == "plain":  # both: what comes plain is who has not moved to TLS yet
        return plain
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if environment.get("RAFT_TLS_CLIENT_CA"):
            context.load_cert_chain(environment.get("RAFT_TLS_CERT", ""), environment.get("RAFT_TLS_KEY", ""))
        return context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def main() -> int:
    """Print what is wrong; the exit code."""
    wrong = check(sys.argv[1] if len(sys.argv) > 1 else "livez", dict(os.environ))
    print(wrong or "well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
