import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { LINK_STATES } from "../../../node/dashboard/static/connections.js";
import { IN_LEGEND, MARKS, PLACES } from "../../../node/dashboard/static/marks.js";
import { LOOKS, ROLES } from "../../../node/dashboard/static/words.js";
import { termColour } from "../../../node/dashboard/static/trace.js";
import { SHAPES } from "../../../node/dashboard/static/view/ring.js";

const read = (name) => readFileSync(new URL(`../../../node/dashboard/static/${name}.css`, import.meta.url), "utf8");
const [LOOK, STYLE] = ["look", "style"].map(read);
const looks = (place) => MARKS[place].map(([look]) => look);

/** Classes that the style sheet knows beside `of`, as in `.link.cut`. */
const styled = (of) => [...new Set([...STYLE.matchAll(new RegExp(`(?<![\\w-])\\.${of}\\.([a-z][a-z0-9-]*)`, "g"))].map(([, look]) => look))];

test("every shape of a node is named", () => {
  assert.deepEqual(looks("node").toSorted(), Object.keys(SHAPES).toSorted());
  assert.deepEqual(styled("node").filter((look) => !looks("node").includes(look)), []);
});

test("every role has words, a form and a look of its own, and a follower's is the plain one", () => {
  assert.deepEqual(looks("node"), [...Object.keys(ROLES), "unknown"]);
  const shapes = [...LOOK.matchAll(/^\.([a-z-]+) \.shape /gm)].map(([, look]) => look);
  assert.deepEqual([...shapes, "follower"].toSorted(), looks("node").toSorted());
});

test("every term has a colour, which the style sheet knows", () => {
  const colours = new Set(Array.from({ length: 40 }, (_, term) => termColour(term)));
  const styled = [...LOOK.matchAll(/\.c(\d+) \{ --term: /g)].map(([, colour]) => Number(colour));
  assert.deepEqual([...colours].toSorted(), styled.toSorted());
});

test("every state of a link is named, and so is the leader's", () => {
  assert.deepEqual(looks("link").toSorted(), [...LINK_STATES, "main"].toSorted());
  assert.deepEqual(styled("link").filter((look) => !looks("link").includes(look)), []);
  assert.deepEqual(styled("link-mark").filter((look) => !looks("link").includes(look)), []);
});

test("every look and letter of a message is named", () => {
  for (const [type, { style = "other", letter, hidden }] of Object.entries(LOOKS)) {
    if (hidden) continue;
    for (const look of style.split(" ")) assert.ok(looks("message").includes(look), `${type}: ${look}`);
    if (letter) assert.ok(looks("letter").includes(letter), `${type}: ${letter}`);
  }
  assert.deepEqual(styled("flight").filter((look) => !looks("message").includes(look)), []);
});

test("every mark of the views is named: what they draw by a class or a sign", () => {
  const view = (name) => readFileSync(new URL(`../../../node/dashboard/static/view/${name}.js`, import.meta.url), "utf8");
  const all = Object.values(MARKS).flat().map(([look]) => look);
  const drawn = [...view("ring").matchAll(/class: "([a-z -]+)"/g)].map(([, look]) => look);
  const words = new Set(["node", "link", "link-mark", "shape", "name", "term", "role", "sub", "you", "centre", "centre-text", "centre-text big", "glow", "timer-track"]);
  assert.deepEqual(drawn.filter((look) => !words.has(look) && !all.includes(look)), [], "texts, and parts of named marks, are listed here");
  for (const sign of view("log").match(/[○✓◂]+ ?\w*/g)) assert.ok(MARKS.log.some(([, name]) => name.startsWith(sign.trim())), sign);
  for (const sign of view("ring").match(/"[✕~]"/g)) assert.ok(MARKS.link.some(([, , means]) => means.includes(sign[1])), sign);
});

test("every mark has a place in the help, a name and a meaning", () => {
  assert.deepEqual(Object.keys(PLACES), Object.keys(MARKS));
  assert.deepEqual(IN_LEGEND.filter((place) => !MARKS[place]), []);
  for (const mark of Object.values(MARKS).flat()) assert.ok(mark.length === 3 && mark.every((part) => part.length > 0), mark[0]);
});
