/**
 * Which messages are shown in flight: few enough to follow, and an honest count of the rest.
 *
 * Pure: time comes as milliseconds. It must not draw.
 */

import { whole } from "./sentences.js";
import { LOOKS } from "./words.js";

export const FLIGHTS_PER_SECOND = 10;
export const RARE_PER_SECOND = 30;
const BURST = 6;
const WINDOW_SECONDS = 4;

const typesThat = (quality) => new Set(Object.keys(LOOKS).filter((type) => LOOKS[type][quality]));

/** What people look for flies whenever it can: elections. */
const RARE = typesThat("rare");
/** What carries the pages' own figures round the cluster: counted, never shown. */
const OWN = typesThat("hidden");

class Bucket {
  constructor(rate, most) {
    this.rate = rate;
    this.most = most;
    this.left = most;
    this.at = 0;
  }

  take(at) {
    this.left = Math.min(this.most, this.left + (Math.max(0, at - this.at) * this.rate) / 1000);
    this.at = at;
    if (this.left < 1) return false;
    this.left -= 1;
    return true;
  }
}

export class Flights {
  #chance;
  #usual = new Bucket(FLIGHTS_PER_SECOND, BURST);
  #rare = new Bucket(RARE_PER_SECOND, RARE_PER_SECOND / 3);
  #seconds = [];

  /** `chance` gives numbers in [0, 1): traffic is periodic, and taking every n-th would always show the same peer. */
  constructor(chance) {
    this.#chance = chance;
  }

  /** Whether this message is to be shown; `wanted` false counts it alone. */
  offer(type, at, wanted = true) {
    const lucky = RARE.has(type) || this.#chance() < FLIGHTS_PER_SECOND / this.#arriving;
    const bucket = RARE.has(type) ? this.#rare : this.#usual;
    const shown = wanted && !OWN.has(type) && lucky && bucket.take(at);
    this.#tell(type, at);
    this.#count(at, 1, shown ? 1 : 0);
    return shown;
  }

  /** Estimates how many messages of the usual kinds come in a second, from the last whole one. */
  #tell(type, at) {
    if (RARE.has(type) || OWN.has(type)) return;
    if (at - this.#since >= 1000) {
      this.#arriving = Math.max(1, at - this.#since < 2000 ? this.#arrived : 1);
      this.#arrived = 0;
      this.#since = at;
    }
    this.#arrived += 1;
  }

  #arriving = 1;
  #arrived = 0;
  #since = 0;

  /** So many that the server left out. */
  leftOut(count, at) {
    this.#count(at, count, 0);
  }

  #count(at, total, shown) {
    const second = Math.floor(at / 1000);
    let last = this.#seconds.at(-1);
    if (!last || last.second !== second) {
      last = { second, total: 0, shown: 0 };
      this.#seconds.push(last);
      if (this.#seconds.length > WINDOW_SECONDS + 1) this.#seconds.shift();
    }
    last.total += total;
    last.shown += shown;
  }

  /** Of the last whole seconds: messages per second, and one in how many was shown (0: none was). */
  rate(at) {
    const now = Math.floor(at / 1000);
    const past = this.#seconds.filter(({ second }) => second < now && second >= now - WINDOW_SECONDS);
    const total = past.reduce((sum, one) => sum + one.total, 0);
    const shown = past.reduce((sum, one) => sum + one.shown, 0);
    return { perSecond: total / WINDOW_SECONDS, oneIn: shown ? total / shown : 0 };
  }
}

/** The rate in words. */
export function rateWords({ perSecond, oneIn }, moving = true) {
  const rate = perSecond < 10 ? perSecond.toFixed(perSecond ? 1 : 0) : whole(Math.round(perSecond));
  const messages = `${rate} messages per second`;
  if (!moving || !perSecond) return messages;
  if (!oneIn) return `${messages}, none shown`;
  return oneIn < 1.05 ? `${messages}, showing all` : `${messages}, showing 1 in ${oneIn < 10 ? oneIn.toFixed(1).replace(/\.0$/, "") : whole(Math.round(oneIn))}`;
}
