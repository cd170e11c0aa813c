/** Time along a line: as it went, or with the long pauses shortened, so that what lies between them can be seen. */

/** @typedef {{at: number, until: number, from: number, to: number}} Pause ms, and where it lies on the line (0 to 1) */
/** @typedef {{place: (ms: number) => number, timeAt: (x: number) => number, pauses: Pause[], from: number, to: number}} Scale */

/** A pause is what is longer than so many times the usual gap; it is drawn as long as so many. */
const PAUSE = 8;
const DRAWN = 4;
const LEAST_MS = 1_000;

/**
 * @param {readonly number[]} times ms, rising
 * @param {boolean} shorten
 * @returns {Scale}
 */
export function scaleOf(times, shorten) {
  const from = times[0] ?? 0;
  const to = Math.max(from + LEAST_MS, times.at(-1) ?? from);
  const knots = [...new Set([...times, to])];
  const gaps = knots.slice(1).map((at, index) => at - (knots[index] ?? at));
  const sorted = gaps.toSorted((a, b) => a - b);
  const usual = Math.max(LEAST_MS / 4, sorted[Math.floor(sorted.length / 2)] ?? LEAST_MS);
  const drawn = gaps.map((gap) => (shorten && gap > PAUSE * usual ? DRAWN * usual : gap));
  const whole = drawn.reduce((sum, gap) => sum + gap, 0);
  const places = [0];
  for (const gap of drawn) places.push((places.at(-1) ?? 0) + gap / whole);
  /** @type {Pause[]} */
  const pauses = [];
  gaps.forEach((gap, index) => {
    if (drawn[index] !== gap)
      pauses.push({
        at: knots[index] ?? 0,
        until: knots[index + 1] ?? 0,
        from: places[index] ?? 0,
        to: places[index + 1] ?? 0,
      });
  });
  return {
    from,
    to,
    pauses,
    place: (ms) => between(knots, places, ms),
    timeAt: (x) => between(places, knots, x),
  };
}

/** @param {readonly number[]} xs rising @param {readonly number[]} ys @param {number} x */
function between(xs, ys, x) {
  let low = 0;
  let high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((xs[middle] ?? 0) <= x) low = middle;
    else high = middle;
  }
  const [x0 = 0, x1 = 0, y0 = 0, y1 = 0] = [xs[low], xs[high], ys[low], ys[high]];
  if (x1 === x0) return y0;
  return y0 + Math.min(1, Math.max(0, (x - x0) / (x1 - x0))) * (y1 - y0);
}
