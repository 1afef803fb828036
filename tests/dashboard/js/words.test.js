import assert from "node:assert/strict";
import { test } from "node:test";

import { FLIGHTS_PER_SECOND, Flights, rateWords } from "../../../node/dashboard/static/flights.js";
import { bytes, cutWords, duration, faultWords, folded, grouped, headline, pageOf, sentenceOf, short, timesWords, waiting } from "../../../node/dashboard/static/sentences.js";
import { linksOf } from "../../../node/dashboard/static/connections.js";
import { GROUPS } from "../../../node/dashboard/static/trace.js";
import { FAULTS, KINDS } from "../../../node/dashboard/static/words.js";
import { roleWords } from "../../../node/dashboard/static/view/ring.js";
import { keyPath, shown } from "../../../node/dashboard/static/view/kv.js";

/** A chance that is the same every time. */
function seeded() {
  let state = 12345;
  return () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648;
  };
}

/** Offers `perSecond` messages of each second's traffic in turn; returns those shown. */
function play(flights, perSecond, seconds, types) {
  const shown_ = [];
  for (let i = 0; i < perSecond * seconds; i += 1) {
    const type = types[i % types.length];
    if (flights.offer(type, (i * 1000) / perSecond)) shown_.push(i % types.length);
  }
  return shown_;
}

test("up to ten messages per second all of them are shown, and the page says so", () => {
  const flights = new Flights(seeded());
  assert.equal(play(flights, 8, 10, ["append", "append-reply"]).length, 80);
  assert.equal(rateWords(flights.rate(10_000)), "8.0 messages per second, showing all");
});

test("above that about ten a second are shown, whatever the rhythm, and the page says one in how many", () => {
  for (const perSecond of [40, 200, 3000]) {
    const flights = new Flights(seeded());
    const peers = Array.from({ length: 8 }, () => "heartbeat");
    const shown_ = play(flights, perSecond, 30, peers);
    assert.ok(Math.abs(shown_.length / 30 - FLIGHTS_PER_SECOND) < 3, `${shown_.length} in 30 s at ${perSecond}`);
    for (let peer = 0; peer < 8; peer += 1) assert.ok(shown_.filter((one) => one === peer).length > 10, `peer ${peer} at ${perSecond}`);
    const { oneIn } = flights.rate(30_000);
    assert.ok(oneIn > perSecond / FLIGHTS_PER_SECOND / 1.6 && oneIn < (perSecond / FLIGHTS_PER_SECOND) * 1.6, String(oneIn));
  }
});

test("what the server left out counts into one in N", () => {
  const flights = new Flights(seeded());
  for (let second = 0; second < 5; second += 1) {
    for (let i = 0; i < 5; i += 1) flights.offer("append", second * 1000 + i * 150);
    flights.leftOut(995, second * 1000 + 900);
  }
  assert.equal(rateWords(flights.rate(5000)), "1,000 messages per second, showing 1 in 200");
});

test("votes fly in the thick of traffic; the pages' own reports never do, but count", () => {
  const flights = new Flights(() => 0.999);
  for (let i = 0; i < 500; i += 1) flights.offer("append", i);
  assert.equal(flights.offer("vote", 600), true);
  assert.equal(flights.offer("report", 601), false);
  assert.equal(flights.rate(1500).perSecond, 502 / 4);
});

test("stopped motion shows nothing and says nothing of showing", () => {
  const flights = new Flights(seeded());
  assert.equal(flights.offer("vote", 10, false), false);
  assert.equal(rateWords(flights.rate(1000), false), "0.3 messages per second");
  assert.equal(rateWords(flights.rate(1000)), "0.3 messages per second, none shown");
});

test("every kind of event has a sentence, and unknown kinds are shown as they are", () => {
  for (const kind of Object.values(GROUPS).flat()) {
    const sentence = sentenceOf({ kind, node: "n1", term: 2, role: "follower", detail: { peer: "n2", lane: "bulk", direction: "in", up: true } });
    assert.ok(sentence.length > 3 && !/^[a-z-]+ \w+=/.test(sentence), kind);
  }
  assert.equal(sentenceOf({ kind: "tea", node: "n1", detail: { cups: 2 } }), "tea cups=2");
});

test("every kind of the one schema is in a group", () => {
  assert.ok(Object.keys(KINDS).length > 15);
  const known = new Set(Object.values(GROUPS).flat());
  assert.deepEqual(Object.keys(KINDS).filter((kind) => !known.has(kind)), []);
});

test("every fault of the table has words, and what gets nothing through is drawn as a cut", () => {
  const node = (name, faults) => ({ name, state: "reachable", status: { faults, peers: [] } });
  for (const [command, { kind, stops }] of Object.entries(FAULTS)) {
    const fault = { kind, peer: command.endsWith("_link") ? "n2" : "", direction: "out", value: 5 };
    assert.equal(faultWords(fault), faultWords({ ...fault, kind: command }));
    assert.ok(!faultWords(fault).includes("?") && faultWords(fault) !== kind, command);
    const [link] = linksOf({ cluster: { nodes: [node("n1", [fault]), node("n2", [])] } });
    assert.equal(link.state, stops ? "cut" : "slow", command);
    assert.ok(link.note && !link.note.includes("?"), command);
  }
  assert.equal(faultWords({ kind: "tea" }), "tea");
});

test("the headline says who leads, or that nobody can, and whose eyes these are", () => {
  const say = (leader, heard, by = "", seen = "as seen by n1") => headline({ leader, quorum: { voters: 5, heard, by, majority: 3 }, known: true, seen });
  assert.equal(say({ name: "n2", term: 4 }, 5), "n2 leads term 4; all 5 nodes heard, as seen by n1.");
  assert.equal(say({ name: "n2", term: 4 }, 3), "n2 leads term 4; 3 of 5 voters heard, as seen by n1.");
  assert.equal(say({ name: "n2", term: 4 }, 3, "n2", "as seen by the monitor"), "n2 leads term 4; 3 of 5 voters heard by n2, as seen by the monitor.");
  assert.equal(say({ name: "", term: 4 }, 2), "No leader: 2 of 5 voters heard, 3 are needed, as seen by n1.");
  assert.equal(headline({ known: false }), "Nothing heard yet.");
});

test("a cut is one line, whoever tells of it", () => {
  const names = ["n1", "n2", "n3", "n4", "n5"];
  const ways = (pairs, ends = 24_600) => pairs.flatMap(([from, to]) => [{ from, to, ends }, { from: to, to: from, ends }]);
  const all = (left, right) => ways(left.flatMap((one) => right.map((other) => [one, other])));
  assert.equal(cutWords([], names), "");
  assert.equal(cutWords(all(["n1", "n2"], ["n3", "n4", "n5"]), names), "cut: n1 and n2 from n3, n4 and n5, ends in 25 s");
  assert.equal(cutWords(all(["n3"], ["n1", "n2", "n4", "n5"]), names), "cut: n1, n2, n4 and n5 from n3, ends in 25 s");
  assert.equal(cutWords(all(["n1"], ["n4", "n5"]), names), "cut: n1 from n4 and n5, ends in 25 s");
  assert.equal(cutWords([...all(["n1"], ["n2"]), ...all(["n3"], ["n4", "n5"])], names), "cut: n3 from n4 and n5; n1 from n2, ends in 25 s");
  assert.equal(cutWords([{ from: "n1", to: "n2", ends: Infinity }, { from: "n1", to: "n3", ends: 5 }], names), "cut: n1 to n2 and n3, one way");
  assert.equal(cutWords([...all(["n1"], ["n2", "n3", "n4", "n5"]), ...all(["n2"], ["n3", "n4", "n5"])], names), "cut: n1 from n2 from n3, n4 and n5, ends in 25 s");
});

test("what repeats is one row with how often and within what time, also where others come between", () => {
  const asks = (at, term = 3) => ({ at, node: "n1", kind: "election", term, role: "follower", detail: { phase: "pre-vote" } });
  const refused = (at) => ({ at, node: "n1", kind: "vote-reply", term: 3, role: "pre-candidate", detail: { voter: "n2", granted: false, phase: "pre-vote" } });
  const rows = folded([...Array.from({ length: 37 }, (_, i) => [asks(i * 139), refused(i * 139 + 1)]).flat(), asks(5100, 4), asks(30_000)]);
  const told = rows.map((row) => `${sentenceOf(row.event)}${timesWords(row)}`);
  assert.deepEqual(told, [
    "hears no leader and asks whether it could win an election, 37 times in 5.0 s",
    "n2 refuses its pre-vote, 37 times in 5.0 s",
    "hears no leader and asks whether it could win an election",
    "hears no leader and asks whether it could win an election",
  ]);
  assert.equal(rows.reduce((sum, row) => sum + row.times, 0), 76);
});

test("faults, sizes and times read as people say them", () => {
  assert.equal(faultWords({ kind: "delay", peer: "n2", direction: "out", value: 50 }), "delay of 50 ms to n2");
  assert.equal(faultWords({ kind: "cut_link", peer: "n2", direction: "both" }), "cut link with n2");
  assert.equal(faultWords({ kind: "corrupt", peer: "n2", direction: "in", value: 5 }), "damage to 5 % of the frames from n2");
  assert.deepEqual([bytes(999), bytes(1500), bytes(25_000_000)], ["999 B", "1.5 kB", "25 MB"]);
  assert.deepEqual([duration(null), duration(12.3), duration(4200), duration(200_000)], ["never", "12 ms", "4.2 s", "3 min"]);
});

test("a partition is told in a few words, not link by link", () => {
  const cut = (node, peer, direction, expires_in_ms = 9000) => ({ node, kind: "cut_link", peer, direction, value: 0, expires_in_ms });
  const all = ["n3", "n4", "n5"].flatMap((peer) => [cut("n1", peer, "in"), cut("n1", peer, "out", 9500)]);
  const [one, ...rest] = grouped(all);
  assert.deepEqual([faultWords(one), one.expires_in_ms, rest], ["cut links with n3, n4 and n5", 9500, []]);
  const mixed = [cut("n1", "n2", "in"), cut("n1", "n3", "in"), cut("n1", "n4", "out"), cut("n2", "n1", "both", null), { node: "n1", kind: "simulate_failure" }];
  assert.deepEqual(grouped(mixed).map((fault) => `${fault.node}: ${faultWords(fault)}`), [
    "n1: cut links from n2 and n3",
    "n1: cut link to n4",
    "n2: cut link with n1",
    "n1: simulated failure",
  ]);
  const slow = (peer, value) => ({ node: "n1", kind: "delay_link", peer, direction: "out", value });
  assert.equal(grouped([slow("n2", 50), slow("n3", 60)]).length, 2);
  assert.equal(grouped([cut("n1", "n2", "in", null), cut("n1", "n2", "out", 5)])[0].expires_in_ms, null);
});

test("the pods of a release with a long name can be told apart in the ring", () => {
  assert.deepEqual(["n1", "raft-0", "raft-10", "production-raft-1"].map(short), ["n1", "raft-0", "…t-10", "…ft-1"]);
});

test("a node that was asked to stop is said to leave", () => {
  const node = { reachable: true, role: "follower", stale: false, status: { leaving: true } };
  assert.equal(roleWords(node), "follower, leaving");
  assert.equal(roleWords({ ...node, status: { leaving: false } }), "follower");
});

test("a key survives its way into a path, byte by byte", () => {
  const path = (text) => keyPath(new TextEncoder().encode(text));
  assert.equal(path("a/b c"), "a%2Fb%20c");
  assert.equal(path("ü.x"), "%C3%BC.x");
  assert.equal(decodeURIComponent(path("100% & more?#")), "100% & more?#");
  assert.equal(keyPath(Uint8Array.of(0, 255, 47)), "%00%FF%2F");
});

test("a value is shown as text where it is text, else as bytes", () => {
  assert.equal(shown(new TextEncoder().encode("grüß")), "grüß");
  assert.equal(shown(Uint8Array.of(255, 0)), "ff 00");
  const long = "ü".repeat(5000);
  assert.ok(shown(new TextEncoder().encode(long)).endsWith("(10 kB in all)"));
});

test("a node without a vote is named with the sentence that says why, and no other node is", () => {
  const why = "n1, n3 belong to a cluster that was born without this disk: a node whose data was lost is a new member and has no vote";
  const nodes = [
    { name: "n1", reachable: true, status: { role: "leader", waiting_for: "" } },
    { name: "n2", reachable: true, status: { role: "initial", waiting_for: why } },
    { name: "n3", reachable: false, status: { role: "initial", waiting_for: "old words" } },
    { name: "n4", reachable: false, status: null },
  ];
  assert.deepEqual(waiting(nodes), [`n2 has no vote and waits: ${why}.`]);
});

test("links to other nodes' pages are links only where this browser can follow them", () => {
  const local = new URL("http://127.0.0.1:8001/");
  assert.deepEqual(pageOf("n2", "http://127.0.0.1:8002", "http://127.0.0.1:8001", local), { href: "http://127.0.0.1:8002/" });
  assert.deepEqual(pageOf("n2", "http://[::1]:8002", "http://[::1]:8001", new URL("http://localhost:8080/")), { href: "http://[::1]:8002/" });
  const [own, other] = [0, 1].map((n) => `http://raft-${n}.raft-headless.ns.svc:8001`);
  const forwarded = pageOf("raft-1", other, own, new URL("http://localhost:18001/"));
  assert.equal(forwarded.href, undefined);
  assert.match(forwarded.words, /kubectl port-forward pod\/raft-1 8001/);
  assert.deepEqual(pageOf("raft-1", other, own, new URL(`${own}/`)), { href: `${other}/` }, "inside the cluster they are reachable");
  assert.deepEqual(pageOf("n2", "nonsense", own, local), {});
});
