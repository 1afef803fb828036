import assert from "node:assert/strict";
import { test } from "node:test";

import { KeyFeed, LIST_MS_MIN, WAITING_MAX } from "../../../node/dashboard/static/keyfeed.js";
import { HELD_MAX, initialKeys, KEYS_SHOWN, noteOf, reduceKeys } from "../../../node/dashboard/static/keys.js";
import { follow } from "../../../node/dashboard/static/watch.js";
import { alarmLines, storeFacts } from "../../../node/dashboard/static/store.js";

const base64 = (text) => Buffer.from(text).toString("base64");
const key = (number) => `k${String(number).padStart(6, "0")}`;

/** A store as a node has it: what it lists, and what its watch says of each write. */
class Store {
  constructor() {
    this.revision = 1;
    this.keys = new Map();
  }

  list(limit = KEYS_SHOWN) {
    const all = [...this.keys.keys()].sort();
    const keys = all.slice(0, limit).map((name) => ({ key: name, key_base64: base64(name), value_bytes: this.keys.get(name).value.length, mod_revision: this.keys.get(name).revision, version: this.keys.get(name).version }));
    return { revision: this.revision, count: all.length, more: all.length > limit, keys };
  }

  /** Each is `[name]`, which is deleted, or `[name, value]`; all in one revision. */
  write(...changes) {
    this.revision += 1;
    return changes.map(([name, value], at) => {
      const old = this.keys.get(name);
      const about = { key: name, key_base64: base64(name), revision: this.revision };
      const id = String(at === changes.length - 1 ? this.revision : this.revision - 1);
      if (value === undefined) {
        this.keys.delete(name);
        return { kind: "delete", said: about, id };
      }
      const version = (old?.version ?? 0) + 1;
      this.keys.set(name, { value, revision: this.revision, version });
      return { kind: "put", said: { ...about, value, value_base64: base64(value), version }, id };
    });
  }
}

const listedOf = (store, keys = initialKeys("")) => reduceKeys(keys, { type: "listed", body: store.list(), at: 1 });
const changed = (keys, changes) => reduceKeys(keys, { type: "changes", changes, at: 2 });
const same = (keys, store) => {
  const { keys: listed, count, revision } = store.list();
  assert.deepEqual(keys.rows.map((row) => [row.key, row.bytes, row.revision, row.version]), listed.map((one) => [one.key, one.value_bytes, one.mod_revision, one.version]));
  assert.deepEqual([keys.count, keys.revision], [count, revision]);
};

test("a list and the changes since are what a list would be now, whatever is written", () => {
  let seed = 7;
  const chance = (most) => ((seed = (seed * 1103515245 + 12345) % 2147483648) >> 8) % most;
  const store = new Store();
  for (let number = 0; number < 80; number += 1) store.write([key(chance(200)), "x"]);
  let keys = listedOf(store);
  let listed = 0;
  for (let round = 0; round < 3000; round += 1) {
    const names = [...new Set(Array.from({ length: 1 + chance(3) }, () => key(chance(200))))];
    const writes = names.filter((name) => store.keys.has(name) || chance(2)).map((name) => (store.keys.has(name) && chance(3) === 0 ? [name] : [name, "v".repeat(chance(5))]));
    if (!writes.length) continue;
    keys = changed(keys, store.write(...writes));
    if (keys.wants) {
      keys = listedOf(store, keys);
      listed += 1;
    }
    same(keys, store);
    assert.ok(keys.rows.length <= KEYS_SHOWN);
  }
  assert.ok(listed > 10 && listed < 1500, String(listed));
});

test("what the list has already changes nothing, and a revision of which a part was told is told anew", () => {
  const store = new Store();
  const before = store.write(["a", "1"]);
  let keys = listedOf(store);
  assert.equal(changed(keys, before).count, 1);
  const both = store.write(["b", "1"], ["c", "1"]);
  keys = changed(keys, both.slice(0, 1));
  assert.deepEqual([keys.count, keys.revision], [1, 2]);
  keys = reduceKeys(keys, { type: "watching", at: 3 });
  same(changed(keys, both), store);
});

test("a revision that is longer than what is held is read, not followed", () => {
  const store = new Store();
  const keys = listedOf(store);
  const many = store.write(...Array.from({ length: HELD_MAX + 5 }, (_, number) => [key(number), "x"]));
  const next = changed(keys, many);
  assert.deepEqual([next.wants, next.count], [true, 0]);
});

test("keys are in the order of their bytes, also where they are no text", () => {
  const row = (octets) => ({ key: null, key_base64: Buffer.from(octets).toString("base64"), value_bytes: 1, mod_revision: 2, version: 1 });
  let keys = reduceKeys(initialKeys(""), { type: "listed", body: { revision: 2, count: 2, more: false, keys: [row([0x61]), row([0xff])] }, at: 1 });
  const said = { key: null, key_base64: Buffer.from([0xc3, 0xa9]).toString("base64"), revision: 3, value_base64: "AA==", version: 1 };
  keys = changed(keys, [{ kind: "put", said, id: "3" }]);
  assert.deepEqual(keys.rows.map((one) => Buffer.from(one.order, "latin1")[0]), [0x61, 0xc3, 0xff]);
  assert.equal(keys.rows[1].bytes, 1);
});

test("the note says how many there are, how many are shown, and whether they are of now", () => {
  const store = new Store();
  assert.equal(noteOf(initialKeys(""), 0).words, "Reading the keys …");
  for (let number = 0; number < 1234; number += 1) store.write([key(number), "x"]);
  let keys = reduceKeys(listedOf(store), { type: "watching", at: 1 });
  assert.deepEqual(noteOf(keys, 1), { words: "1,234 keys, the first 50 shown, revision 1235, live", trouble: false });
  assert.match(noteOf(reduceKeys(keys, { type: "overflow", at: 1 }), 1).words, /changing too fast/);
  keys = reduceKeys(keys, { type: "lost", message: "no leader is known", at: 1000 });
  assert.deepEqual(noteOf(keys, 3000), { words: "Could not load the keys: no leader is known; what is listed is 2.0 s old, revision 1235. Trying again.", trouble: true });
  assert.equal(noteOf(listedOf(store, keys), 3000).trouble, false);
});

/** A feed with everything round it by hand. */
function feeding(store) {
  const at = { now: 0, frames: [], timers: [], lists: [], watches: [], shown: 0 };
  const around = {
    now: () => at.now,
    later: (run, ms) => {
      const timer = { run, at: at.now + ms };
      at.timers.push(timer);
      return () => at.timers.splice(at.timers.indexOf(timer), 1);
    },
    frame: (run) => at.frames.push(run),
  };
  const source = {
    list: () => new Promise((resolve, reject) => at.lists.push({ resolve, reject, asked: store.list() })),
    watch: (prefix, revision, on) => {
      const one = { prefix, revision, on, over: false };
      at.watches.push(one);
      return () => (one.over = true);
    },
  };
  const feed = new KeyFeed(source, around, () => (at.shown += 1));
  const settle = () => new Promise((go) => setImmediate(go));
  return {
    at,
    feed,
    /** By what there is now, or was when it was asked. */
    async answer(body = store.list()) {
      at.lists.shift().resolve(body);
      await settle();
    },
    async refuse() {
      at.lists.shift().reject(new Error("refused"));
      await settle();
    },
    frame: () => at.frames.splice(0).forEach((run) => run()),
    async pass(ms) {
      at.now += ms;
      for (const timer of at.timers.splice(0)) {
        if (timer.at <= at.now) timer.run();
        else at.timers.push(timer);
      }
      await settle();
    },
    hear(changes, watch = at.watches.at(-1)) {
      for (const { kind, said, id } of changes) watch.on.change(kind, JSON.stringify(said), id);
    },
  };
}

async function live(store) {
  const here = feeding(store);
  here.feed.follow("");
  await here.answer();
  here.at.watches[0].on.open();
  return here;
}

test("it lists, follows from the next revision on, and draws once for a frame", async () => {
  const store = new Store();
  store.write(["a", "1"]);
  const here = await live(store);
  assert.equal(here.at.watches[0].revision, 3);
  const { shown } = here.at;
  for (let number = 0; number < 500; number += 1) here.hear(store.write([key(number), "x"]));
  assert.deepEqual([here.at.frames.length, here.at.shown], [1, shown]);
  here.frame();
  assert.equal(here.at.shown, shown + 1);
  same(here.feed.keys, store);
});

test("a burst that nobody could draw is dropped, and the list read anew, once a second at most", async () => {
  const store = new Store();
  const here = await live(store);
  for (let number = 0; number < 10 * WAITING_MAX; number += 1) here.hear(store.write([key(number % 300), "x"]));
  assert.ok(here.feed.waiting.length <= WAITING_MAX);
  assert.ok(here.at.shown < 10);
  await here.pass(LIST_MS_MIN - 1);
  assert.equal(here.at.lists.length, 0);
  await here.pass(1);
  assert.equal(here.at.lists.length, 1);
  const late = store.write(["late", "1"]); // in the list that is under way, and told before it
  here.hear(late);
  here.frame();
  await here.answer();
  here.frame();
  same(here.feed.keys, store);
  assert.equal(here.feed.keys.behind, false);
  assert.equal(here.at.watches.length, 1); // it was never ended
});

test("what is told while the list is read is not lost, whichever is newer", async () => {
  for (const isNewer of [false, true]) {
    const store = new Store();
    for (let number = 0; number < 60; number += 1) store.write([key(number), "x"]);
    const here = await live(store);
    here.hear(store.write([key(0)]));
    here.frame();
    await here.pass(LIST_MS_MIN); // there is room for one more now
    const { asked } = here.at.lists[0];
    here.hear(store.write([key(1), "newer"]));
    here.frame();
    await here.answer(isNewer ? store.list() : asked);
    here.frame();
    same(here.feed.keys, store);
  }
});

test("what was dropped while the list was read is read with the next one", async () => {
  const store = new Store();
  const here = await live(store);
  for (let number = 0; number <= WAITING_MAX; number += 1) here.hear(store.write([key(number % 300), "x"]));
  await here.pass(LIST_MS_MIN);
  const { asked } = here.at.lists[0];
  for (let number = 0; number <= WAITING_MAX; number += 1) here.hear(store.write([key(number % 300), "y"]));
  await here.answer(asked);
  assert.equal(here.feed.keys.behind, true);
  here.hear(store.write(["more", "1"]));
  here.frame();
  await here.pass(LIST_MS_MIN);
  await here.answer();
  same(here.feed.keys, store);
  assert.equal(here.feed.keys.behind, false);
});

test("where history or leader are gone, or the connection, it lists anew and goes on", async () => {
  for (const how of [(on) => on.ended("gone"), (on) => [on.lost(false), on.lost(true)]]) {
    const store = new Store();
    const here = await live(store);
    how(here.at.watches[0].on);
    assert.deepEqual([here.feed.keys.phase, here.at.watches[0].over], ["lost", true]);
    store.write(["b", "2"]);
    await here.pass(1000);
    await here.refuse();
    assert.equal(here.feed.keys.why, "refused");
    await here.pass(1000);
    await here.answer();
    here.at.watches[1].on.open();
    assert.deepEqual([here.at.watches[1].revision, here.feed.keys.phase], [3, "live"]);
    same(here.feed.keys, store);
  }
});

test("a break that mends itself needs no list, and what was told twice counts once", async () => {
  const store = new Store();
  const here = await live(store);
  const both = store.write(["b", "1"], ["c", "1"]);
  here.hear(both.slice(0, 1));
  here.at.watches[0].on.lost(false);
  here.at.watches[0].on.open();
  here.hear(both);
  here.frame();
  same(here.feed.keys, store);
  assert.equal(here.at.lists.length, 0);
});

test("a page that nobody sees holds nothing, and another prefix begins anew", async () => {
  const store = new Store();
  const here = await live(store);
  here.feed.stop();
  assert.deepEqual([here.at.watches[0].over, here.at.timers.length], [true, 0]);
  here.feed.follow("b");
  here.feed.follow("c");
  await here.answer(); // late: of b
  assert.equal(here.at.watches.length, 1);
  await here.answer();
  assert.equal(here.at.watches.at(-1).prefix, "c");
});

/** Answers of a server, each a list of pieces, and what was asked. */
function answering(...answers) {
  const asked = [];
  const heard = [];
  let waiting = [];
  const settle = () => new Promise((go) => setTimeout(go, 5));
  const ask = async (revision) => {
    asked.push(revision);
    const next = answers.shift();
    if (!next) throw new Error("refused");
    if (next instanceof Response) return next;
    return new Response(ReadableStream.from(next.map((piece) => new TextEncoder().encode(piece))));
  };
  const on = {
    open: () => heard.push("open"),
    change: (kind, data, id) => heard.push([kind, data, id]),
    ended: (message) => heard.push(["ended", message]),
    lost: (again) => heard.push(["lost", again]),
  };
  const end = follow(ask, (run) => waiting.push(run), 5, on);
  return { asked, heard, end, settle, pass: () => waiting.splice(0).forEach((run) => run()) };
}

test("a watch is read in pieces of any size, and goes on after what it has heard", async () => {
  const body = 'retry: 1000\nid: 4\nevent: watching\ndata: {}\n\nevent: put\ndata: {"a":"\u00e9"}\n\nid: 7\nevent: delete\ndata: {"b":2}\n\n: still here\nid: 9\n\nevent: put\nda';
  for (const size of [1, 7, 10_000]) {
    const pieces = body.match(new RegExp(`[^]{1,${size}}`, "g"));
    const here = answering(pieces, ["event: watching\ndata: {}\n\n"]);
    await here.settle();
    assert.deepEqual(here.heard, ["open", ["put", '{"a":"\u00e9"}', ""], ["delete", '{"b":2}', "7"], ["lost", false]]);
    here.pass();
    await here.settle();
    assert.deepEqual([here.asked, here.heard.slice(4)], [[5, 10], ["open", ["lost", false]]]);
    here.pass();
    await here.settle();
    here.pass();
    await here.settle();
    assert.deepEqual(here.heard.slice(6), [["lost", true], ["lost", true]]);
    here.end();
    here.pass();
    await here.settle();
    assert.equal(here.asked.length, 4);
  }
});

test("a watch ends where the server says why, in an event or in its refusal, and says no more", async () => {
  const refusal = new Response('{"error":"no-leader","message":"no leader is known"}', { status: 503 });
  for (const [answer, why] of [[['event: no-leader\ndata: {"message":"gone"}\n\nevent: put\ndata: {}\n\n'], "gone"], [refusal, "no leader is known"], [new Response("", { status: 500 }), "HTTP 500"]]) {
    const here = answering(answer);
    await here.settle();
    here.pass();
    await here.settle();
    assert.deepEqual([here.heard, here.asked], [[["ended", why]], [5]]);
  }
});

test("a node's store, leases and watches are facts, and alarms are lines", () => {
  const store = { revision: 9, keys: 1, bytes: 900, quota_bytes: 2_000_000_000, leases: 2, watches: 5, watch_streams: 1 };
  assert.deepEqual(storeFacts({ store }), [["store", "1 key, 900 B of 2.0 GB, revision 9"], ["leases", "2"], ["watched by", "5 watches on 1 stream"]]);
  assert.deepEqual(storeFacts({ store: { ...store, watches: 0, quota_bytes: 0 } }).map((fact) => fact[1]), ["1 key, 900 B, revision 9", "2", "nobody"]);
  assert.deepEqual(storeFacts({ store: null }), []);
  const full = { alarm: "NOSPACE", message: "it is full" };
  const node = (name, reachable, alarms) => ({ name, reachable, status: alarms && { alarms } });
  assert.deepEqual(alarmLines([node("n1", true, [full]), node("n2", true, [full]), node("n3", false, [full]), node("n4", true, []), node("n5", false, null)]), [{ alarm: "NOSPACE", words: "NOSPACE on n1, n2: it is full" }]);
  assert.deepEqual(alarmLines([{ name: "old", reachable: true, status: {} }]), []);
});
