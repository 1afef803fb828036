import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { factsOf, sentenceOf } from "../../../node/dashboard/static/headline.js";

const CASES = JSON.parse(readFileSync(new URL("../../headline_cases.json", import.meta.url)));

test("the page says what the cluster can do in the words of the common table", () => {
  assert.ok(CASES.sentences.length > 20);
  for (const { case: name, facts, sentence } of CASES.sentences) assert.equal(sentenceOf(facts), sentence, name);
});

test("the page takes the same facts from the same nodes", () => {
  assert.ok(CASES.facts.length > 15);
  for (const { case: name, nodes, facts } of CASES.facts) assert.deepEqual(factsOf(nodes), { store_full: false, ...facts }, name);
});
