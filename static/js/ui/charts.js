/** Small pictures of numbers, as SVG of our own. Each has its numbers in words, for whoever does not see it. */
import { html } from "../lib.js";
import { number, clockOf } from "../core/format.js";

/**
 * Bars over time; a second series stands on top of the first.
 * @param {{values: number[], over?: number[], label: string, names?: [string, string?], endsAt: string, stepMs?: number, height?: number}} props
 */
export function Bars({ values, over = [], label, names = [""], endsAt, stepMs = 60_000, height = 56 }) {
  const most = Math.max(1, ...values.map((value, index) => value + (over[index] ?? 0)));
  const width = 4 * values.length;
  const end = new Date(endsAt).getTime();
  const total = values.reduce((sum, value) => sum + value, 0);
  const overTotal = over.reduce((sum, value) => sum + value, 0);
  const said = `${label}: ${number(total)} ${names[0]}${over.length ? `, ${number(overTotal)} ${names[1]}` : ""}, at most ${number(most)} in one bar`;
  return html`<svg class="bars" role="img" aria-label=${said} viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" height=${height}>
    ${values.map((value, index) => {
      const upper = over[index] ?? 0;
      if (value + upper === 0) return null;
      const tall = (value / most) * (height - 2);
      const tallOver = (upper / most) * (height - 2);
      const at = clockOf(new Date(end - (values.length - index) * stepMs).toISOString());
      const text = `${at}: ${number(value)} ${names[0]}${upper ? `, ${number(upper)} ${names[1]}` : ""}`;
      return html`<g key=${index}><title>${text}</title>
        <rect class="bar" x=${index * 4} y=${height - tall} width="3" height=${Math.max(tall, value ? 1 : 0)} />
        ${upper > 0 && html`<rect class="bar-over" x=${index * 4} y=${height - tall - tallOver} width="3" height=${Math.max(tallOver, 1)} />`}
      </g>`;
    })}
  </svg>`;
}

/** A line of numbers, without axes. @param {{values: number[], label: string, width?: number, height?: number}} props */
export function Sparkline({ values, label, width = 120, height = 28 }) {
  const most = Math.max(1, ...values);
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const points = values.map(
    (value, index) => `${(index * step).toFixed(1)},${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`,
  );
  return html`<svg class="sparkline" role="img" aria-label=${`${label}: now ${number(values.at(-1) ?? 0)}, at most ${number(most)}`} viewBox=${`0 0 ${width} ${height}`} width=${width} height=${height}>
    ${points.length > 1 && html`<polyline points=${points.join(" ")} /><polygon points=${`0,${height} ${points.join(" ")} ${width},${height}`} />`}
  </svg>`;
}

/**
 * How an agent has been: one bar for each stretch of time, coloured by the worst status in it.
 * @param {{changes: {at: string, status: string}[], from: string, to: string, slots?: number}} props
 */
export function Heartbeat({ changes, from, to, slots = 40 }) {
  const begin = new Date(from).getTime();
  const step = (new Date(to).getTime() - begin) / slots;
  const bars = [];
  let at = 0;
  let current = "";
  for (let slot = 0; slot < slots; slot++) {
    const end = begin + (slot + 1) * step;
    let worst = current;
    for (; at < changes.length && new Date(/** @type {any} */ (changes[at]).at).getTime() <= end; at++) {
      current = /** @type {any} */ (changes[at]).status;
      if (worst === "" || RANK.indexOf(current) > RANK.indexOf(worst)) worst = current;
    }
    bars.push(worst);
  }
  const good = bars.filter((status) => status !== "" && status !== "stale" && status !== "offline").length;
  const here = bars.filter((status) => status !== "").length;
  const said =
    here === 0
      ? "No sign of life in the last hour"
      : `Alive in ${Math.round((100 * good) / here)} % of the time since ${clockOf(new Date(begin + bars.findIndex((s) => s !== "") * step).toISOString())}, now ${current}`;
  return html`<svg class="heartbeat" role="img" aria-label=${said} viewBox=${`0 0 ${slots * 5} 20`} preserveAspectRatio="none">
    <title>${said}</title>
    ${bars.map((status, slot) => {
      // Height says what colour says.
      const tall = status === "" ? 3 : status === "offline" ? 6 : status === "stale" ? 12 : 20;
      return html`<rect class=${`beat is-${status || "none"}`} x=${slot * 5} y=${20 - tall} width="4" height=${tall} rx="1" />`;
    })}
  </svg>`;
}
const RANK = ["online", "idle", "busy", "stale", "offline"];
