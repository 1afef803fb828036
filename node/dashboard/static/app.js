/**
 * The page, put together: source -> reducer -> views. The only module with a clock, timers and state.
 *
 * Actions are reduced as they come; the ring is drawn once per frame, so that a burst of a thousand events is one
 * drawing, and the panels follow, each in its own turn.
 */
import { Flights, rateWords } from "./flights.js";
import { faultWords, duration, grouped, headline, waiting } from "./sentences.js";
import { connect } from "./source.js";
import { faultsOf, initialState, leaderOf, nodesOf, ownStatus, quorumOf, reduce } from "./trace.js";
import { at, h, keyed, memory, say, set } from "./view/dom.js";
import { makeEvents } from "./view/events.js";
import { makeSky } from "./view/flight.js";
import { makeHelp } from "./view/help.js";
import { makeKeyValue } from "./view/kv.js";
import { ENTRIES_SHOWN, makeLog } from "./view/log.js";
import { makeNode } from "./view/node.js";
import { makeOutput } from "./view/output.js";
import { makeRing } from "./view/ring.js";
import { makeStats } from "./view/stats.js";
import { makeTable } from "./view/table.js";
import { makeLegend } from "./view/legend.js";

const LOOK_MS = 1000;
const SOON_MS = 150;
const OUTPUT_EVERY_LOOKS = 2;
const ANNOUNCE_MS = 3000;
const CONNECT_AGAIN_MS = 2000;

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
  let frame = 0;
  let still = calm.matches || memory.get("motion") === "off";
  const flights = new Flights(Math.random);
  const flying = at("flying");

  const pick = (name) => {
    picked = name;
    if (source.kind === "monitor" && nodesOf(state).some((one) => one.name === name && one.reachable)) view(name);
    draw();
  };
  const ring = makeRing(at("ring"), { pick });
  const sky = makeSky(at("ring"), ring);
  await turn();
  const table = makeTable(at("nodes"), { pick });
  const log = makeLog(at("log"), at("log-note"));
  const events = makeEvents(at("events"), at("events-note"));
  await turn();
  const stats = makeStats(at("stats"), at("stats-note"));
  const node = makeNode(at("node"), { source });
  const output = makeOutput(at("output-card"), at("output"), at("output-note"), { source });
  await turn();
  const kv = makeKeyValue(at("kv-card"), at("kv"), at("kv-note"), { source, viewpoint: () => state.viewpoint });
  const help = makeHelp(at("help"));
  makeLegend(at("legend"));
  await turn();

  const panels = [() => node.update(state, picked), () => table(state, picked), () => log(state), () => events.update(state), () => stats(state)];
  const undrawn = new Set();
  let drawing = 0;

  function dispatch(action) {
    const before = state;
    state = reduce(state, { at: Date.now(), ...action });
    if (state !== before) draw();
  }

  function draw() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      ring.still = still;
      ring.update(state, picked);
      drawTop();
      for (const panel of panels) undrawn.add(panel);
      drawNext();
    });
  }

  /** The panels one by one, each a task of its own: none keeps a key press or a moving message waiting. */
  function drawNext() {
    if (drawing || !undrawn.size) return;
    drawing = setTimeout(() => {
      drawing = 0;
      const [panel] = undrawn;
      undrawn.delete(panel);
      panel();
      drawNext();
    });
  }

  function drawTop() {
    const quorum = quorumOf(state);
    const leader = leaderOf(state);
    const known = Boolean(state.cluster);
    const lostTouch = !state.clusterError ? "" : known ? ` But all of this is old: ${state.clusterError}.` : ` The reason: ${state.clusterError}.`;
    set(document.body, "class", lostTouch ? "old" : null);
    say(at("headline"), headline({ leader, quorum, known, viewpoint: source.kind === "node" ? source.name : "" }) + lostTouch);
    const [text, look] = state.clusterError ? ["no connection", "bad"] : { open: ["live", "good"], connecting: ["connecting", ""], lost: ["stream lost, retrying", "warn"] }[state.stream.state];
    say(at("connection"), text);
    set(at("connection"), "class", `badge ${look}`);
    document.title = `${leader.name ? `${leader.name} leads term ${leader.term}` : known ? "no leader" : "…"} · ${source.name || "Raft cluster"}`;
    drawFaults();
    drawWaiting();
  }

  function drawWaiting() {
    const sentences = waiting(nodesOf(state));
    set(at("waiting"), "hidden", sentences.length ? null : "");
    keyed(at("waiting"), sentences, (sentence) => sentence, (sentence) => h("span", {}, sentence), () => {});
  }

  function drawFaults() {
    const faults = grouped(faultsOf(state));
    set(at("faults"), "hidden", faults.length ? null : "");
    const words = (fault) => `⚠ ${fault.node}: ${faultWords(fault)}${typeof fault.expires_in_ms === "number" ? `, ends in ${duration(Math.ceil(fault.expires_in_ms / 1000) * 1000)}` : ""}`;
    keyed(at("faults"), faults, (fault) => `${fault.node}/${fault.kind}/${fault.value}/${fault.direction}`, () => h("span"), (span, fault) => say(span, words(fault)));
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

  // What is asked for, again and again
  let looking = 0;
  let looks = 0;
  async function look() {
    clearTimeout(looking);
    looking = 0;
    if (!document.hidden) {
      looks += 1;
      await Promise.all([lookAtCluster(), lookAtNode()]);
      announce();
    }
    looking ||= setTimeout(look, LOOK_MS);
  }
  function lookSoon() {
    clearTimeout(looking);
    looking = setTimeout(look, SOON_MS);
  }

  async function lookAtCluster() {
    try {
      const body = await source.cluster();
      dispatch({ type: "cluster", body });
      settle();
    } catch (error) {
      dispatch({ type: "cluster-failed", message: error.message });
    }
  }

  async function lookAtNode() {
    const name = state.viewpoint;
    if (!name) return;
    const last = ownStatus(state)?.last_index ?? 1;
    const of = (type, asked) =>
      asked.then(
        (body) => name === state.viewpoint && dispatch({ type, body }),
        (error) => error.status === 404 && state[type] && dispatch({ type, body: null }),
      );
    const all = [of("log", source.log(name, Math.max(1, last - ENTRIES_SHOWN + 1), ENTRIES_SHOWN * 2))];
    if (state.stats || looks % 5 < 2) all.push(of("stats", source.stats(name)));
    if (!state.commands && looks % 5 < 2) all.push(of("commands", source.commands(name)));
    if (looks % OUTPUT_EVERY_LOOKS === 0) all.push(output(picked));
    await Promise.all(all);
  }

  /** Which node is picked, and whose eyes the monitor uses: the chosen one's, else the leader's, else anybody's. */
  function settle() {
    const nodes = nodesOf(state);
    if (!nodes.some((one) => one.name === picked)) picked = source.name || leaderOf(state).name || nodes[0]?.name || "";
    if (source.kind !== "monitor") return;
    const alive = nodes.filter((one) => one.reachable).map((one) => one.name);
    const wanted = [chosen, chosen ? "" : leaderOf(state).name, state.viewpoint, alive[0]].find((name) => name && alive.includes(name));
    if (wanted) view(wanted, false);
    keyed(at("viewpoint"), ["", ...nodes.map((one) => one.name)], (name) => name, (name) => h("option", { value: name }, name || "the leader"), () => {});
  }

  // What the server tells by itself
  let end = () => {};
  function view(name, byHand = true) {
    if (byHand && source.kind === "monitor") {
      chosen = name;
      at("viewpoint").value = name;
    }
    if (!name || (name === state.viewpoint && state.stream.since)) return;
    end();
    dispatch({ type: "viewpoint", name });
    dispatch({ type: "stream", state: "connecting" });
    end = source.stream(name, {
      open: () => dispatch({ type: "stream", state: "open" }),
      lost: () => state.stream.state !== "lost" && dispatch({ type: "stream", state: "lost" }),
      event: (event, id) => {
        if (event.kind === "message") return message(event);
        dispatch({ type: "trace", event, id });
        if (["leader", "role", "fault"].includes(event.kind)) lookSoon();
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

  setInterval(() => say(at("rate"), `${rateWords(flights.rate(Date.now()), !still && flying.value !== "none")}${state.viewpoint ? ` to and from ${state.viewpoint}` : ""}`), 1000);

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
  at("viewpoint").addEventListener("change", ({ currentTarget }) => {
    chosen = currentTarget.value;
    settle();
  });
  set(at("viewpoint-label"), "hidden", source.kind === "monitor" ? null : "");

  document.addEventListener("keydown", (event) => {
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
  document.addEventListener("visibilitychange", () => !document.hidden && lookSoon());

  if (source.kind === "node") view(source.name, false);
  look().then(() => kv.begin());
}

main(await untilConnected());
