/**
 * The page, put together: source -> reducer -> views. The only module with a clock, timers and state.
 *
 * Actions are reduced as they come; the ring is drawn once per frame, so that a burst of a thousand events is one
 * drawing, and the panels follow, each in its own turn.
 */
import { Flights, rateWords } from "./flights.js";
import { connect, logOut } from "./source.js";
import { initialState, leaderOf, nodesOf, reduce, strangers } from "./trace.js";
import { at, h, keyed, memory, say, set } from "./view/dom.js";
import { makeEvents } from "./view/events.js";
import { makeSky } from "./view/flight.js";
import { makeHelp } from "./view/help.js";
import { makeKeyValue } from "./view/kv.js";
import { ENTRIES_SHOWN, makeLog } from "./view/log.js";
import { makeMembers } from "./view/members.js";
import { makeNode } from "./view/node.js";
import { makeOutput } from "./view/output.js";
import { makeRing } from "./view/ring.js";
import { makeStats } from "./view/stats.js";
import { makeTable } from "./view/table.js";
import { makeTop } from "./view/top.js";
import { makeLegend } from "./view/legend.js";

const LOOK_MS = 1000;
const SOON_MS = 150;
const OUTPUT_EVERY_LOOKS = 2;
const LATE_MS = 2500;
const ANNOUNCE_MS = 3000;
const CONNECT_AGAIN_MS = 2000;
const FOLLOW_AGAIN_MS = 30_000;

const QUIET = new Set(["heartbeat", "heartbeat-reply"]);

/** What is waiting goes first: building the page is many small tasks, not a long one. */
const turn = () => new Promise((go) => setTimeout(go));

async function untilConnected() {
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      say(at("headline"), `Cannot reach the server of this page: ${error.message}. Trying again …`);
      await new Promise((go) => setTimeout(go, CONNECT_AGAIN_MS));
    }
  }
}

async function main(source) {
  await turn();
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let state = initialState(source);
  let picked = "";
  let chosen = "";
  let still = calm.matches || memory.get("motion") === "off";
  const flights = new Flights(Math.random);
  const flying = at("flying");

  /** On the monitor, every panel is of the node that is picked; a node's page shows its own log, figures and events. */
  const pick = (name) => {
    picked = name;
    if (source.kind === "monitor") choose(name);
    draw();
  };
  const ring = makeRing(at("ring"), { pick });
  const sky = makeSky(at("ring"), ring);
  await turn();
  const table = makeTable(at("nodes"), { pick });
  const members = makeMembers(at("members-card"), at("members"), at("members-note"), { source, changed: () => (lookCluster.soon(), lookNode.soon()) });
  const log = makeLog(at("log"), at("log-note"));
  const events = makeEvents(at("events"), at("events-note"));
  await turn();
  const stats = makeStats(at("stats-card"), at("stats"), at("stats-note"));
  const node = makeNode(at("node"), { source });
  const output = makeOutput(at("output-card"), at("output"), at("output-note"), { source });
  await turn();
  const kv = makeKeyValue(at("kv-card"), at("kv"), at("kv-note"), { source });
  const top = makeTop(source);
  const help = makeHelp(at("help"));
  makeLegend(at("legend"));
  await turn();

  const panels = [(now) => node.update(now, picked), (now) => table(now, picked), members, log, events.update, stats, kv.follow];

  function dispatch(action) {
    const before = state;
    state = reduce(state, { at: Date.now(), ...action });
    if (state !== before) draw();
  }

  /** A round shows one state: the ring in a frame, then the panels one by one, each a task of its own, so that none keeps
   * a key press or a moving message waiting. What comes meanwhile is the next round's. */
  let frame = 0;
  let again = false;
  function draw() {
    if (frame) again = true;
    else frame = requestAnimationFrame(() => round(state));
  }

  async function round(now) {
    again = false;
    try {
      ring.still = still;
      ring.update(now, picked);
      sky.stop();
      top(now);
      for (const panel of panels) {
        await turn();
        panel(now);
      }
    } finally {
      frame = 0;
      if (again) draw();
    }
  }

  /** Leader changes for screen readers: the last one, and not more often than it can be said. */
  let announced = { changes: 0, at: 0, timer: 0 };
  function announce() {
    const { leader } = state;
    if (leader.changes === announced.changes || announced.timer) return;
    const wait = Math.max(0, announced.at + ANNOUNCE_MS - Date.now());
    announced.timer = setTimeout(() => {
      announced = { changes: state.leader.changes, at: Date.now(), timer: 0 };
      say(at("live"), state.leader.name ? `${state.leader.name} leads term ${state.leader.term}` : "The cluster has no leader");
    }, wait);
  }

  // What is asked for, again and again: the cluster, and beside it one node, which may keep its answers waiting

  let looks = 0;
  function repeat(look) {
    let timer = 0;
    let under = false;
    const go = async () => {
      clearTimeout(timer);
      if (under) return;
      under = true;
      if (!document.hidden) await look();
      under = false;
      timer = setTimeout(go, LOOK_MS);
    };
    return {
      go,
      soon() {
        clearTimeout(timer);
        timer = setTimeout(go, SOON_MS);
      },
    };
  }

  async function lookAtCluster() {
    const late = setTimeout(() => dispatch({ type: "cluster-failed", message: `no answer for ${LATE_MS / 1000} s` }), LATE_MS);
    try {
      dispatch({ type: "cluster", body: await source.cluster() });
      follow();
      settle();
    } catch (error) {
      dispatch({ type: "cluster-failed", message: error.message });
    } finally {
      clearTimeout(late);
      announce();
    }
  }

  /** Where another node answers for good (the way here keeps to one that is there), this becomes its page. */
  function follow() {
    if (!strangers(state).only || Date.now() - Number(memory.get("followed") || 0) < FOLLOW_AGAIN_MS) return;
    memory.set("followed", String(Date.now()));
    location.reload();
  }

  async function lookAtNode() {
    const name = state.viewpoint;
    looks += 1;
    const all = looks % OUTPUT_EVERY_LOOKS ? [] : [output(picked)];
    const of = (type, asked) =>
      asked.then(
        (body) => name === state.viewpoint && dispatch({ type, body }),
        // Nothing is known of a node that went meanwhile; false: its server has no such route, and never will
        (error) => error.status === 404 && name === state.viewpoint && dispatch({ type, body: error.body?.error === "unknown-node" ? null : false }),
      );
    if (name && !state.clusterError && isThere(name)) {
      all.push(of("log", source.log(name, ENTRIES_SHOWN)));
      if (state.stats !== false) all.push(of("stats", source.stats(name)));
      if (state.members !== false) all.push(of("members", source.members(name)));
      if (state.commands === null) all.push(of("commands", source.commands(name)));
    }
    await Promise.all(all);
  }

  /** Whether there is anybody to listen to: the monitor knows who does not answer. */
  const isThere = (name) => source.kind === "node" || nodesOf(state).some((one) => one.name === name && one.reachable);

  /** Which node is picked; the monitor's panels are all of that one, also when it is dead, or of whoever leads. */
  function settle() {
    const nodes = nodesOf(state);
    const named = (name) => nodes.some((one) => one.name === name);
    if (source.kind === "node") {
      if (!named(picked)) picked = source.name;
    } else {
      const alive = nodes.find((one) => one.reachable)?.name;
      picked = (named(chosen) && chosen) || leaderOf(state).name || (named(picked) && picked) || alive || nodes[0]?.name || "";
      keyed(at("viewpoint"), ["", ...nodes.map((one) => one.name)], (name) => name, (name) => h("option", { value: name }, name || "the leader"), () => {});
      view(picked);
    }
  }

  function choose(name) {
    chosen = name;
    at("viewpoint").value = name;
    settle();
    draw();
  }

  // What the server tells by itself
  let end = null;
  let streamed = "";
  function view(name) {
    if (name !== state.viewpoint) dispatch({ type: "viewpoint", name });
    const wanted = isThere(name) ? name : "";
    if (wanted === streamed) return;
    end?.();
    end = null;
    streamed = wanted;
    dispatch({ type: "stream", state: wanted ? "connecting" : "off" });
    if (!wanted) return;
    lookNode.soon();
    end = source.stream(name, {
      open: () => dispatch({ type: "stream", state: "open" }),
      lost: () => state.stream.state !== "lost" && dispatch({ type: "stream", state: "lost" }),
      event: (event, id) => {
        if (event.kind === "message") return message(event);
        dispatch({ type: "trace", event, id });
        if (["leader", "role", "fault"].includes(event.kind)) lookCluster.soon();
        return announce();
      },
      sampled: (count) => {
        flights.leftOut(count, Date.now());
        dispatch({ type: "sampled", leftOut: count });
      },
      gap: (transitions, messages) => dispatch({ type: "lost", transitions, messages }),
    });
  }

  function message(event) {
    const { type } = event.detail;
    const wanted = !still && !document.hidden && (flying.value === "all" || (flying.value === "quiet" && !QUIET.has(type)));
    if (flights.offer(type, Date.now(), wanted)) sky.fly(event.node, event.detail);
    state = reduce(state, { type: "message", event, at: Date.now() });
  }

  setInterval(() => say(at("rate"), `${rateWords(flights.rate(Date.now()), !still && flying.value !== "none")}${streamed ? ` to and from ${streamed}` : ""}`), LOOK_MS);

  // What people do
  function moveOrNot(on) {
    still = !on;
    set(at("motion"), "aria-pressed", String(still));
    say(at("motion"), still ? "Show motion" : "Stop motion");
    if (still) sky.clear();
    draw();
  }
  const motion = () => {
    memory.set("motion", still ? "on" : "off");
    moveOrNot(still);
  };
  at("motion").addEventListener("click", motion);
  calm.addEventListener("change", () => moveOrNot(!calm.matches));
  moveOrNot(!still);

  const themes = ["system", "light", "dark"];
  let theme = themes.includes(memory.get("theme")) ? memory.get("theme") : "system";
  const dress = () => {
    set(document.documentElement, "data-theme", theme === "system" ? null : theme);
    say(at("theme"), `Theme: ${theme}`);
  };
  const redress = () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    memory.set("theme", theme);
    dress();
  };
  at("theme").addEventListener("click", redress);
  dress();

  at("help-open").addEventListener("click", help.open);
  say(at("logout"), `Log out ${source.who}`);
  set(at("logout"), "hidden", source.who ? null : "");
  at("logout").addEventListener("click", logOut);
  at("viewpoint").addEventListener("change", ({ currentTarget }) => choose(currentTarget.value));
  set(at("viewpoint-label"), "hidden", source.kind === "monitor" ? null : "");

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !at("help").open && node.closeForm()) event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey || !help.keysWork() || at("help").open) return;
    if (event.target.closest("input,textarea,select")) return;
    const names = nodesOf(state).map((one) => one.name);
    const run = { "?": help.open, "/": events.focus, m: motion, t: redress }[event.key];
    const name = /^[1-9]$/.test(event.key) ? names[Number(event.key) - 1] : undefined;
    if (!run && !name) return;
    event.preventDefault();
    if (run) run();
    else pick(name);
  });
  document.addEventListener("visibilitychange", () => {
    kv.seen(!document.hidden);
    if (document.hidden) return;
    lookCluster.soon();
    lookNode.soon();
  });
  setInterval(() => document.hidden || dispatch({ type: "clock" }), LOOK_MS);

  const lookCluster = repeat(lookAtCluster);
  const lookNode = repeat(lookAtNode);
  if (source.kind === "node") view(source.name);
  lookCluster.go();
  lookNode.go();
}

main(await untilConnected());
