"""What `etcdctl` is told to do, command after command, on an empty cluster of one, and what may differ.

Why it exists: it is the walk over every command that etcdctl 3.6 has, but for those about users (`auth_story`).
`@NAME!` in a line stands for what is called so on that side.
"""

from tests.etcd.ctl import Step as S

ALL = ("simple", "json", "fields", "table")
SIMPLE_AND_JSON = ("simple", "json")

_KEYS = (
    S("get nothing", forms=ALL),
    S("put a 1", forms=ALL),
    S("put a 2 --prev-kv", forms=ALL),
    S("put b", given="of the input"),
    S("put c --ignore-value"),
    S("put a --ignore-value", forms=SIMPLE_AND_JSON),
    S("put a 3 --ignore-value"),
    S("put a 3 --ignore-lease"),
    S("put a 3 --lease=404"),
    S("put a 3 --lease=zz"),
    S("put '' 3"),
    S("put a 3 4"),
    S("put"),
    S("put -- -a -1"),
    S("get a b"),
    S("get a", forms=ALL),
    S("get a --hex", forms=ALL),
    S("get a --print-value-only", forms=SIMPLE_AND_JSON),
    S("get '' --prefix", forms=ALL),
    S("get a --prefix --keys-only", forms=ALL),
    S("get a --prefix --count-only", forms=ALL),
    S("get a --from-key --limit=1", forms=ALL),
    S("get '' --from-key --keys-only"),
    S("get a z --limit=1 --order=DESCEND --sort-by=KEY", forms=SIMPLE_AND_JSON),
    *(S(f"get '' --prefix --sort-by={by} --order=DESCEND") for by in ("CREATE", "KEY", "MODIFY", "VALUE", "VERSION")),
    S("get '' --prefix --sort-by=NOTHING"),
    S("get '' --prefix --order=NOTHING"),
    S("get '' --prefix --min-mod-rev=4 --max-mod-rev=9 --min-create-rev=2 --max-create-rev=8"),
    *(S(f"get a --rev={revision}", forms=SIMPLE_AND_JSON) for revision in (2, 3, 1, 99, -1)),
    S("get a --consistency=s", forms=SIMPLE_AND_JSON),
    S("get a --consistency=x"),
    S("get a b --prefix"),
    S("get a --from-key --prefix"),
    S("get"),
    S("del a --prev-kv", forms=ALL),
    S("put d/1 1"),
    S("put d/2 2"),
    S("put d/3 3"),
    S("del d/1 d/3 --range", forms=ALL),
    S("del d/ --prefix --prev-kv"),
    S("del d/ --from-key --prefix"),
    S("del nothing"),
    S("del '' --from-key", forms=SIMPLE_AND_JSON),
    S("del ''"),
    S("del"),
)

_TXNS = (
    S("txn", given='version("t") = "0"\n\nput t 1\nget t\n\nget t\n\n', forms=ALL),
    S("txn", given='value("t") = "1"\nmod("t") > "3"\ncreate("t") < "999"\n\nput t "2 \\n 3"\ndel u\nget t\n\n\n'),
    S("txn", given='ver("t") > "9"\n\n\nget t --prefix\nget nothing\nput u 1 --prev-kv\n\n'),
    S("txn", given='lease("t") = "0"\n\nget u --count-only\n\n\n', forms=SIMPLE_AND_JSON),
    S("txn", given='value("t") != "x"\n\nput v 1\nput v 2\n\n\n'),
    S("txn", given='value("t") ~ "x"\n\n\n\n'),
    S("txn", given='nothing("t") = "x"\n\n\n\n'),
    S("txn", given='mod("t") = "x"\n\n\n\n'),
    S("txn", given="\nnonsense\n\n\n"),
    S("txn", given='\ntxn\nversion("t") = "0"\n\n\n\n'),
    S("txn", given="\n\n\n"),
    S("txn", given=""),
    S("txn -i", given='version("t") > "0"\n\nget t\n\ndel t\n\n'),
    S("txn more"),
    S("del t u --range", forms=SIMPLE_AND_JSON),
)

_COMPACTIONS = (
    S("get x", forms=("json",)),
    S("compaction 10"),
    S("compaction 10"),
    S("compaction 12 --physical"),
    S("compaction 999"),
    S("compaction 13", forms=("json",)),
    S("compaction x"),
    S("compaction"),
    S("get a --rev=11"),
    S("get a --rev=13"),
)

_WATCHES = (
    S("put w 1"),
    S("watch w --rev=1", lines=1),
    S("watch w --rev=13", lines=3, during=("put w 2", "del w"), more=5),
    S("watch w --rev=13 --prev-kv", lines=3, during=("put w 3", "del w"), more=5),
    S("watch w --prefix --rev=13", lines=3, during=("put w/a 1", "put x 1", "put w/b 2"), more=6),
    S("watch w x --rev=13", lines=3),
    S("watch w --rev=13", forms=("json", "fields"), lines=1, during=("put w 4",), more=1),
    S("watch w --rev=13 -- sh -c 'echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_REVISION'", lines=4),
    S("watch -i", given="watch w --rev=13\n", lines=3),
    S("watch -i", given="watch nothing\nprogress\n", lines=1),
    S("watch -i", given="watch x y -- echo seen\nnonsense\n"),
    S("watch"),
    S("watch w --rev=x"),
)

_LEASES = (
    S("lease grant 600", names="@L1"),
    S("lease grant 600", forms=("json",), names="@L2"),
    S("lease grant 600", forms=("fields",), names="@L3"),
    S("lease grant 600", names="@L4"),
    S("lease grant -1", names="@L5"),
    S("lease grant 0", names="@L5"),
    S("lease revoke @L5!"),
    S("lease grant x"),
    S("lease grant 9000000001"),
    S("lease grant"),
    S("put leased/1 1 --lease=@L1!"),
    S("lease timetolive @L1! --keys", forms=ALL),
    S("put leased/2 1 --lease=@L1!"),
    S("put leased/2 2 --ignore-lease"),
    S("get leased/ --prefix", forms=ALL),
    S("txn", given='lease("leased/1") = "0"\n\n\nget leased/1\n\n'),
    S("lease timetolive @L1!", forms=ALL),
    S("lease timetolive 404", forms=SIMPLE_AND_JSON),
    S("lease timetolive 404 --keys"),
    S("lease timetolive zz"),
    S("lease keep-alive --once @L1!", forms=ALL),
    S("lease keep-alive @L1!", lines=1),
    S("lease keep-alive --once 404"),
    S("lease keep-alive 404"),
    S("lease keep-alive zz"),
    S("lease revoke @L2!"),
    S("lease revoke @L3!", forms=("json",)),
    S("lease revoke 404"),
    S("lease revoke zz"),
    S("lease list", forms=ALL),
    S("lease revoke @L1!"),
    S("get leased/ --prefix"),
)

_TURNS = (
    S("lock deploy -- echo alone"),
    S("lock deploy -- sh -c 'exit 7'"),
    S("lock deploy --ttl=20 -- sh -c 'echo ${ETCD_LOCK_KEY%/*} $ETCD_LOCK_REV'"),
    S("lock deploy", lines=2, during=("get deploy --prefix",)),
    S("lock deploy --ttl=-1 -- true"),
    S("lock"),
    S("elect chief me", lines=2, during=("get chief --prefix",)),
    S("elect -l chief me"),
    S("elect chief"),
    S("elect"),
    S("get deploy --prefix"),
)

_CLUSTER = (
    S("member list", forms=ALL),
    S("member list --hex", forms=("simple", "json")),
    S("member list --consistency=s"),
    S("member add"),
    S("member add n2"),
    S("member add n2 --peer-urls=nonsense"),
    S("member add n2 --peer-urls=@URL!"),
    S("member update 404 --peer-urls=http://127.0.0.1:1"),
    S("member update zz --peer-urls=http://127.0.0.1:1"),
    S("member update @ID!"),
    S("member update @ID! --peer-urls=nonsense"),
    S("member update @ID! --peer-urls=@URL!", forms=ALL),
    S("member promote 404"),
    S("member promote @ID!"),
    S("member promote"),
    S("member remove 404"),
    S("member remove zz"),
    S("member remove"),
    S("endpoint status", forms=ALL),
    S("endpoint status --cluster", forms=SIMPLE_AND_JSON),
    S("endpoint health", forms=ALL),
    S("endpoint health --cluster"),
    S("endpoint hashkv", forms=ALL),
    S("endpoint hashkv --rev=20"),
    S("endpoint hashkv --rev=999"),
    S("endpoint hashkv --rev=2"),
    S("endpoint nonsense"),
    S("defrag"),
    S("defrag --cluster"),
    S("alarm list", forms=ALL),
    S("alarm disarm", forms=ALL),
    S("move-leader 404"),
    S("move-leader zz"),
    S("move-leader"),
    S("move-leader @ID!"),
    S("snapshot save @FOLDER!/saved"),
    S("snapshot save"),
    S("snapshot save @FOLDER!/nowhere/saved"),
    S("version"),
    S("nonsense"),
    S("--endpoints=127.0.0.1:1 --dial-timeout=200ms --command-timeout=300ms get a"),
)

_NO_DOWNGRADE = "versions of a cluster are changed node by node, whenever one likes"
_UNKNOWN = "code = Unimplemented"

OTHERWISE = {
    **dict.fromkeys(
        ("downgrade validate 3.5.0", "downgrade enable 3.5.0", "downgrade cancel"), (_NO_DOWNGRADE, _UNKNOWN)
    ),
    "member add n2 --learner --peer-urls=http://127.0.0.1:1": (
        "only a node that runs and asks to be let in becomes a member",
        "asks to be let in",
    ),
}
"""What is told otherwise here, each with its reason and with words of what is said. They come last: etcd obeys."""

STEPS = (*_KEYS, *_TXNS, *_COMPACTIONS, *_WATCHES, *_LEASES, *_TURNS, *_CLUSTER, *map(S, OTHERWISE))
