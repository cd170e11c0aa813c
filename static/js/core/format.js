/** Numbers, times and sizes as people read them. */
import { signal } from "../lib.js";

const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const days = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
// A column of times is read down: the same width for each, whatever the locale makes of noon.
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** @param {number} value */
export const number = (value) => numbers.format(value);
/** @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
/** @param {string} at */
export const dayOf = (at) => days.format(new Date(at));
/** @param {string} at */
export const clockOf = (at) => clock.format(new Date(at));
/** @param {string} at */
export const secondsOf = (at) => seconds.format(new Date(at));
/** @param {string | number} at */
export const fullTime = (at) => full.format(new Date(at));

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 1000 && unit < units.length - 1; unit++) bytes /= 1000;
  return `${numbers.format(bytes)} ${units[unit]}`;
}

/** @param {number} s */
export function duration(s) {
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 86_400) return `${numbers.format(Math.round(s / 360) / 10)} h`;
  return plural(Math.round(s / 86_400), "day");
}

/** A time as seen from now. @param {string} at @param {number} now ms */
export function relative(at, now) {
  const then = new Date(at).getTime();
  const s = Math.round((now - then) / 1000);
  if (s < -5) return `in ${duration(-s)}`;
  if (s < 5) return "now";
  if (s < 86_400) return `${duration(s)} ago`;
  return s < 300 * 86_400 ? short.format(then) : full.format(then);
}

let ahead = 0;
const SAME_MS = 3_000;

/** The relay's time: what happened is told by its clock, which need not be this browser's. */
export const relayNow = () => Date.now() + ahead;

/** The relay has said what time it is, to the second: as long as it is about the same, nothing moves. @param {string | null} date */
export function relaySaid(date) {
  const found = Date.parse(date ?? "") - Date.now();
  if (Number.isNaN(found) || Math.abs(found - ahead) < SAME_MS) return;
  ahead = found;
  now.value = relayNow();
}

/**
 * The time that relative times are told from. It moves every 5 s while somebody looks: what is younger than a minute is
 * told in seconds, and a page that moves once a second is a page that is never idle.
 */
export const now = signal(relayNow());
setInterval(() => document.hidden || (now.value = relayNow()), 5_000);
document.addEventListener("visibilitychange", () => document.hidden || (now.value = relayNow()));
