"""The file of tokens: what is taken, what is refused in a sentence, what stays in force; and what is counted."""

import asyncio
import hashlib
import hmac
from pathlib import Path

import pytest

from node.access.counts import TOLD_EVERY_SECONDS, AccessCounts
from node.access.entrance import CREDENTIAL_CHARS_MAX, Access, Refusal, bearer
from node.access.principals import ANYBODY, UNKNOWN, Role, with_roles
from node.access.tokens import FILE_BYTES_MAX, TOKENS_MAX, TokenFile, TokensError, line_of, parse
from node.cli.chance import token

ONE, TWO = "one-" + "x" * 32, "two-" + "y" * 32
HASH = "sha256:" + "0" * 64


class Told:
    """Counts, and a clock that a test sets."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, str | int | bool]]] = []
        self.loop_s = 0.0
        self.counts = AccessCounts(lambda kind, detail: self.events.append((kind, detail)), lambda: self.loop_s)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "tokens"
    made.write_text(f"# who may what\n\n{line_of('a', ['read'], ONE)}\n")
    return made


async def looked(file: TokenFile) -> None:
    """One look, and what it has the loop do."""
    file.look(asyncio.get_running_loop())
    await asyncio.sleep(0)


def test_a_token_is_found_by_itself_alone_and_has_its_holders_name_and_roles(path: Path, told: Told) -> None:
    file = TokenFile(str(path), told.counts)
    found = file.find(ONE)
    assert found is not None
    assert found == with_roles("a", Role.READ)
    assert [file.find(other) for other in ("", ONE[:-1], ONE + "x", TWO, HASH, "\udcff" * 40)] == [None] * 6
    assert (told.counts.tokens, told.kinds) == (1, [])


def test_what_could_be_guessed_is_no_token_although_the_file_says_so(path: Path, told: Told) -> None:
    path.write_text(line_of("a", ["operate"], "secret") + "\n" + line_of("b", ["operate"], "x" * 32))
    file = TokenFile(str(path), told.counts)
    assert file.find("secret") is None
    assert file.find("x" * 32) is not None


def test_every_line_is_compared_whichever_matches(path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("\n".join(line_of(f"a{n}", ["read"], f"{n:032}") for n in range(TOKENS_MAX)))
    file = TokenFile(str(path), told.counts)
    compared: list[bytes] = []

    def compare(one: bytes, two: bytes) -> bool:
        compared.append(one)
        return one == two

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for shown in (f"{0:032}", f"{TOKENS_MAX - 1:032}", "nobody's", "x" * 40):
        compared.clear()
        file.find(shown)
        assert len(compared) == TOKENS_MAX


def test_made_tokens_are_long_and_no_two_are_alike() -> None:
    made = {token() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 40


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no token, so nobody could do anything: make lines with raft-node token new"),
        ("# nothing\n", "holds no token"),
        ("a read", "line 1: it is not of the form NAME ROLES sha256:HASH"),
        (f"a read {HASH} more", "line 1: it is not of the form"),
        (f"\na reed {HASH}", "line 2: 'reed' is no role: give read, write or operate"),
        (f"a read, {HASH}", "'' is no role"),
        (f"-a read {HASH}", "line 1: '-a' is no name of 1 to 64"),
        (f"{'a' * 65} read {HASH}", "is no name of 1 to 64"),
        (f"a read {HASH[:-1]}", "line 1: the hash is not sha256: and 64 hexadecimal digits"),
        ("a read md5:" + "0" * 64, "the hash is not sha256:"),
        (f"a read {HASH}\nb read {HASH}", "line 2: this token has a line above already"),
        ("\n".join(line_of("a", ["read"], str(n)) for n in range(TOKENS_MAX + 1)), "holds 257 tokens, and 256 are"),
    ],
)
def test_a_file_of_no_use_is_refused_with_one_sentence(text: str, said: str) -> None:
    with pytest.raises(TokensError) as refused:
        parse(text, "tokens")
    assert str(refused.value).startswith("tokens")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory): make lines"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"#" * (FILE_BYTES_MAX + 1), f"is longer than {FILE_BYTES_MAX} bytes"),
    ],
)
def test_what_is_no_file_of_tokens_is_refused_at_the_start(
    path: Path, told: Told, content: bytes | None, said: str
) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TokensError) as refused:
        TokenFile(str(path), told.counts)
    assert said in str(refused.value)


def over(path: Path, text: str) -> None:
    path.write_text(text)


async def test_a_new_file_counts_from_the_next_look_on_and_a_bad_one_leaves_the_old_in_force(
    path: Path, told: Told
) -> None:
    file = TokenFile(str(path), told.counts)
    await looked(file)
    version = file.version
    assert told.kinds == []
    over(path, f"{line_of('a', ['read'], ONE)}\n{line_of('a', ['write'], TWO)}\n")
    await looked(file)
    renewed = file.find(TWO)
    assert renewed is not None
    assert renewed.roles == {Role.READ, Role.WRITE}
    assert (told.kinds, told.counts.tokens, file.version > version) == (["tokens-renewed"], 2, True)
    for broken in ("", "nonsense", "x" * (FILE_BYTES_MAX + 1)):
        over(path, broken)
        await looked(file)
        assert (file.find(ONE) is not None, told.kinds[-1]) == (True, "tokens-not-renewed")
    assert told.counts.reloads == {"taken": 1, "refused": 3}
    over(path, line_of("a", ["write"], TWO))
    await looked(file)
    assert (file.find(ONE), file.find(TWO) is not None) == (None, True)


async def test_a_secret_that_kubernetes_swaps_by_a_symbolic_link_is_seen(tmp_path: Path, told: Told) -> None:
    for name, shown in (("v1", ONE), ("v2", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens").write_text(line_of("a", ["read"], shown))
    (tmp_path / "data").symlink_to("v1")
    file = TokenFile(str(tmp_path / "data" / "tokens"), told.counts)
    (tmp_path / "new").symlink_to("v2")
    (tmp_path / "new").rename(tmp_path / "data")
    await looked(file)
    assert (file.find(ONE), file.find(TWO) is not None) == (None, True)


def test_without_a_source_anybody_may_do_all_and_with_one_what_is_open_needs_nothing(path: Path, told: Told) -> None:
    assert Access().enter(None, Role.OPERATE, "a test") is ANYBODY
    access = Access([TokenFile(str(path), told.counts)], told.counts)
    assert access.enter(None, None, "a test") is UNKNOWN
    assert access.enter(ONE, None, "a test").name == "a"
    with pytest.raises(Refusal):
        access.enter("x" * (CREDENTIAL_CHARS_MAX + 1), Role.READ, "a test")


def test_refusals_are_all_counted_and_told_at_most_once_in_ten_seconds_for_each_kind(path: Path, told: Told) -> None:
    access = Access([TokenFile(str(path), told.counts)], told.counts)

    def refused(shown: str | None, need: Role) -> None:
        with pytest.raises(Refusal):
            access.enter(shown, need, "GET /status")

    for _ in range(1000):
        refused(None, Role.READ)
        refused(ONE, Role.WRITE)
    assert told.counts.refusals == {"unauthenticated": 1000, "denied": 1000}
    assert [(detail["why"], detail["who"], detail["count"]) for _, detail in told.events] == [
        ("unauthenticated", "", 1),
        ("denied", "a", 1),
    ]
    told.loop_s = 10.0
    refused(ONE, Role.OPERATE)
    assert told.events[-1][1]["count"] == 1000
    assert not any(ONE in str(detail) for _, detail in told.events)


@pytest.mark.parametrize(
    ("header", "credential"),
    [("Bearer a", "a"), ("bearer  a ", "a"), ("a", "a"), ("Basic YTpi", "Basic YTpi"), ("Bearer", "Bearer"), ("", "")],
)
def test_a_bearer_is_what_stands_behind_the_word_and_a_bare_token_is_itself(header: str, credential: str) -> None:
    assert bearer(header) == credential


def test_a_hash_is_what_sha256sum_prints() -> None:
    assert line_of("a", ["read", "operate"], ONE) == f"a read,operate sha256:{hashlib.sha256(ONE.encode()).hexdigest()}"


def test_wrong_passwords_are_counted_and_told_at_most_so_often() -> None:
    events: list[tuple[str, dict[str, str | int | bool]]] = []
    loop_s = 0.0
    counts = AccessCounts(lambda kind, detail: events.append((kind, detail)), lambda: loop_s)
    assert counts.refusals == {"unauthenticated": 0, "denied": 0}, "a series that begins at 1 never grew"
    for user in ("ann", "ann", ""):
        counts.login_failed(user)
    loop_s = TOLD_EVERY_SECONDS
    counts.login_failed("")
    assert counts.logins_failed == 4
    told = [(kind, detail["why"], detail["who"], detail["count"]) for kind, detail in events]
    assert told == [("access-refused", "login", "ann", 1), ("access-refused", "login", "", 3)]
