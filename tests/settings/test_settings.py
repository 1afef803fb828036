"""Settings: precedence, errors that name what, where and cure, and one table behind everything."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import settings
from node.settings import SETTINGS, MsRange, Seed, Setting, SettingsError, load, remarks
from node.settings.table import DISK_SECTOR_BYTES

SEEDS = "n1=127.0.0.1:9001,n2=127.0.0.1:9002,n3=127.0.0.1:9003"
BASE = {"name": "n1", "seeds": SEEDS, "data_dir": "d"}
BY_KEY = {row.key: row for row in SETTINGS}


def refused(flags: dict[str, str], environ: dict[str, str] | None = None, config: str | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(flags, environ or {}, config)
    return str(caught.value)


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('port = 1111\nhost = "0.0.0.0"\nheartbeat_ms = 20\n')
    environ = {"RAFT_CONFIG": str(file), "RAFT_PORT": "2222", "RAFT_HOST": "::1"}
    loaded = load(BASE | {"port": "3333"}, environ)
    assert (loaded.settings.port, loaded.origins["port"]) == (3333, "flag --port")
    assert (loaded.settings.host, loaded.origins["host"]) == ("::1", "environment RAFT_HOST")
    assert (loaded.settings.heartbeat_ms, loaded.origins["heartbeat_ms"]) == (20, f"file {file}")
    assert (loaded.settings.request_timeout_ms, loaded.origins["request_timeout_ms"]) == (5000, "default")


def test_the_config_flag_beats_the_config_variable(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text("port = 1111")
    two.write_text("port = 2222")
    assert load(BASE, {"RAFT_CONFIG": str(one)}, str(two)).settings.port == 2222


def test_everything_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        'name = "n2"\nseeds = ["n1=h1:1", "n2=[::1]:2"]\ndata_dir = "x"\nexit_with_parent = true\n'
        'max_log_bytes = "1GiB"\nelection_timeout_ms = "1000-2000"\nallowed_hosts = ["Raft.Example"]\nchance_seed = 7\n'
    )
    found = load({}, {}, str(file)).settings
    assert found.seeds == (Seed("n1", "h1", 1), Seed("n2", "::1", 2))
    assert found.own_seed == found.seeds[1]
    assert found.peer_port == 2
    assert found.exit_with_parent
    assert found.max_log_bytes == 1024**3
    assert found.election_timeout_ms == MsRange(1000, 2000)
    assert found.allowed_hosts == ("raft.example",)
    assert found.chance_seed == 7


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"RAFT_HEARTBEAT": "5"}, "RAFT_HEARTBEAT is unknown; did you mean RAFT_HEARTBEAT_MS?"),
        ({"RAFT_ZZZ": "5"}, "RAFT_ZZZ is unknown"),
        ({"RAFT_PORT": "tcp://10.0.0.1:80"}, "enableServiceLinks: false"),
        ({"RAFT_SERVICE_HOST": "10.0.0.1"}, "enableServiceLinks: false"),
    ],
)
def test_an_unknown_variable_is_never_ignored(environ: dict[str, str], said: str) -> None:
    assert said in refused(BASE, environ)


def test_what_commands_show_to_nodes_may_stand_in_the_same_shell() -> None:
    environ = {"RAFT_CACERT": "ca.crt", "RAFT_CERT": "client.crt", "RAFT_KEY": "client.key"}
    assert load(BASE, environ).settings == load(BASE, {}).settings


def test_what_lets_plain_text_in_is_remarked_on() -> None:
    files = {"tls_cert": "c", "tls_key": "k", "peer_tls_cert": "c", "peer_tls_key": "k", "peer_tls_ca": "a"}
    given = BASE | files | {"tls_accept": "both", "tls_client_ca": "a", "peer_tls_accept": "both"}
    both = remarks(load(given, {}).settings)
    assert ["as long as they speak no TLS" in both[0], "as long as it speaks no TLS" in both[1]] == [True, True]
    (plain,) = remarks(load(BASE | {"tls_client_ca": "a"}, {}).settings)
    assert "while tls_accept is plain" in plain


def test_tokens_in_plain_text_and_peers_without_proof_are_remarked_on_where_others_can_come() -> None:
    given = BASE | {"tokens_file": "t"}
    assert remarks(load(given, {}).settings) == ()
    clear, peers = remarks(load(given | {"host": "0.0.0.0", "peer_host": "0.0.0.0"}, {}).settings)
    assert "tokens can be read on their way to 0.0.0.0" in clear
    assert "whoever reaches 0.0.0.0:9001 is believed to be a peer" in peers
    tls = {"tls_cert": "c", "tls_key": "k", "tls_accept": "tls"}
    assert len(remarks(load(given | tls | {"host": "0.0.0.0"}, {}).settings)) == 0


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(BASE, {"RAFT_PORT": ""}).origins["port"] == "default"


def test_an_unknown_key_in_the_file_is_never_ignored(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("heartbeat = 5")
    assert "unknown key 'heartbeat'; did you mean heartbeat_ms?" in refused(BASE, {}, str(file))


@pytest.mark.parametrize(
    ("text", "said"), [("port = [1]", "TOML list"), ("port = 1.5", "TOML float"), ("port =", "not valid TOML")]
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    sentence = refused(BASE, {}, str(file))
    assert said in sentence
    assert str(file) in sentence


def test_a_missing_file_is_named() -> None:
    assert "/no/such.toml cannot be read" in refused(BASE, {"RAFT_CONFIG": "/no/such.toml"})


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("port", "70000", "0 to 65535"),
        ("port", "x", "not a whole number"),
        ("heartbeat_ms", "-5", "not a whole number"),
        ("max_log_bytes", "5 parsecs", "such as 1048576 or 1MiB"),
        ("max_log_bytes", "1", "4MiB to 64GiB"),
        ("segment_bytes", "1000000", "not a multiple of 512"),
        ("fsync_mode", "never", "adaptive, threaded, inline"),
        ("exit_with_parent", "perhaps", "neither true nor false"),
        ("election_timeout_ms", "150", "such as 150-300"),
        ("seeds", "n1:9001", "name=host:port"),
        ("seeds", "n1=a:1,n1=b:2", "names n1 twice"),
        ("seeds", "n1=a:1,n2=a:1", "the same address a:1"),
        ("seeds", "n1=a:99999", "name=host:port"),
        ("name", "../n1", "is not a name"),
        ("client_url", "localhost:80", "http://host:port"),
        ("allowed_hosts", "http://x", "not a host name"),
        ("log_level", "loud", "not one of: debug"),
    ],
)
def test_a_bad_value_is_told_with_where_it_came_from(key: str, text: str, said: str) -> None:
    sentence = refused(BASE | {key: text})
    assert sentence.startswith(f"{key} ")
    assert said in sentence
    assert sentence.endswith(f"(from flag {BY_KEY[key].flag}).")


@pytest.mark.parametrize("key", ["name", "seeds", "data_dir"])
def test_what_is_required_and_missing_is_told_with_the_three_ways_to_give_it(key: str) -> None:
    sentence = refused({k: v for k, v in BASE.items() if k != key})
    assert all(word in sentence for word in (f"{key} is missing", BY_KEY[key].flag, BY_KEY[key].env))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"name": "n9"}, "n9 is not one of the seeds n1, n2, n3, so it needs a peer_port"),
        ({"name": "N2"}, "N2 is not one of the seeds n1, n2, n3 (did you mean n2?), so it needs a peer_port"),
        ({"heartbeat_ms": "101"}, "begin at 152 or more"),
        ({"election_timeout_ms": "149-300"}, "begins below 1.5 heartbeats"),
        ({"election_timeout_ms": "300-350"}, "end at 360 or more"),
        ({"election_timeout_ms": "300-150"}, "too narrow"),
        ({"max_append_bytes": "2MiB", "inflight_bytes": "1MiB"}, "max_append_bytes 2MiB exceeds inflight_bytes 1MiB"),
        ({"port": "9001"}, "both 9001"),
        ({"tls_accept": "tls"}, "tls_accept tls needs tls_cert: name the file"),
        ({"tls_accept": "both", "tls_cert": "c"}, "tls_accept both needs tls_key"),
        ({"operations_port": "8001"}, "operations_port 8001 is another port of this node"),
        ({"operations_port": "9001"}, "operations_port 9001 is another port of this node"),
        ({"operations_port": "7", "operations_tls": "tls"}, "operations_tls tls needs tls_cert: name the file"),
        ({"peer_tls_dial": "tls", "peer_tls_cert": "c", "peer_tls_key": "k"}, "need peer_tls_ca"),
        (
            {"peer_tls_accept": "tls", "peer_tls_cert": "c", "peer_tls_key": "k", "peer_tls_ca": "a"},
            "would have this node refuse peers that dial as it does itself: dial tls first",
        ),
    ],
)
def test_impossible_combinations_are_refused(flags: dict[str, str], said: str) -> None:
    assert said in refused(BASE | flags)


def test_a_name_that_is_no_seed_is_allowed_where_it_has_a_peer_port_and_remarked_on() -> None:
    found = load(BASE | {"name": "N2", "peer_port": "9009"}, {}).settings
    assert (found.own_seed, found.peer_port) == (None, 9009)
    (remark,) = remarks(found)
    assert remark.startswith("name N2 is not one of the seeds n1, n2, n3 (did you mean n2?)")
    assert "until it is a member, it waits to be let in" in remark
    (remark,) = remarks(load(BASE | {"name": "newcomer", "peer_port": "9009"}, {}).settings)
    assert "did you mean" not in remark
    assert remarks(load(BASE, {}).settings) == ()


def test_the_defaults_of_the_demo_are_allowed() -> None:
    found = load(BASE | {"heartbeat_ms": "100", "election_timeout_ms": "150-300"}, {}).settings
    assert found == load(BASE, {}).settings


@given(st.sampled_from([r for r in SETTINGS if r.low is not None and r.type is not MsRange]), st.integers(0, 2**64))
def test_a_number_is_read_back_as_shown_or_refused_out_of_bounds(row: Setting, value: int) -> None:
    assert row.low is not None
    assert row.high is not None
    if row.key == "segment_bytes":
        value -= value % DISK_SECTOR_BYTES
    if row.low <= value <= row.high:
        assert row.read(row.show(value)) == value
    else:
        with pytest.raises(ValueError, match=r"bounds|is not a"):
            row.read(str(value))


@given(st.sampled_from(SETTINGS), st.text(max_size=40))
def test_no_text_makes_a_reader_fail_otherwise_than_by_value_error(row: Setting, text: str) -> None:
    try:
        value = row.read(text)
    except ValueError:
        return
    assert row.read(row.show(value)) == value or value is None


@given(st.dictionaries(st.sampled_from([r.env for r in SETTINGS]), st.text(max_size=20), max_size=4))
def test_any_environment_gives_settings_or_one_sentence(environ: dict[str, str]) -> None:
    sentence = "fine."
    try:
        load(BASE, environ)
    except SettingsError as error:
        sentence = str(error)
    assert sentence.endswith((".", "?"))


def test_what_is_printed_can_be_fed_back() -> None:
    loaded = load(BASE | {"chance_seed": "7", "exit_with_parent": "true"}, {})
    again = load({row["key"]: row["value"] for row in settings.rows(loaded) if row["value"]}, {})
    assert again.settings == loaded.settings


def test_every_field_of_the_struct_is_one_row_of_the_table() -> None:
    assert [row.key for row in SETTINGS] == list(settings.Settings.__struct_fields__)
    fields = {field.name: field for field in msgspec.structs.fields(settings.Settings)}
    for row in SETTINGS:
        assert row.help
        assert (row.default is None) == fields[row.key].required
        if row.default:
            assert row.read(row.default) == fields[row.key].default


def test_with_a_registry_names_alone_are_seeds_and_where_this_node_is_must_be_said() -> None:
    names = BASE | {"seeds": "n1,n2=127.0.0.1:9002,n3", "discover": "registry:http://127.0.0.1:5000/"}
    found = load(names | {"peer_port": "9001"}, {}).settings
    assert [str(seed) for seed in found.seeds] == ["n1", "n2=127.0.0.1:9002", "n3"]
    assert (found.registry_url, found.peer_port) == ("http://127.0.0.1:5000", 9001)
    with pytest.raises(SettingsError, match="seeds have no address of n1 itself, so it needs a peer_port of its own"):
        load(names, {})
    with pytest.raises(SettingsError, match="give a peer_address"):
        load(names | {"peer_port": "9001", "peer_host": "0.0.0.0"}, {})
    with pytest.raises(SettingsError, match=r"seeds do not say where n1, n3 can be reached.*n1=host:port, or discover"):
        load(names | {"peer_port": "9001", "discover": ""}, {})
    for wrong in ("http://127.0.0.1:5000", "registry:127.0.0.1:5000", "registry:http://127.0.0.1:5000/path", "dns:x"):
        with pytest.raises(SettingsError, match="is not of the form registry:http://host:port"):
            load(names | {"peer_port": "9001", "discover": wrong}, {})
