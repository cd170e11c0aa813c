/** A stretch of time, chosen on a picture of how much was said when: drag over the bars, or move either end. */
import { html, useEffect, useRef, useState } from "../../lib.js";
import { clockOf, number, plural } from "../../core/format.js";

/** @typedef {import("./flows.js").Bin} Bin */

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const LONG_MS = 20 * 3_600_000;

/**
 * @param {{bins: Bin[], from: number, until: number, set: (from: number, until: number) => void}} props `from` and `until` are
 *   edges: 0 is the left end, `bins.length` the right one
 */
export function Brush({ bins, from, until, set }) {
  const [held, setHeld] = useState(/** @type {[number, number] | null} */ (null));
  const plot = useRef(/** @type {SVGElement | null} */ (null));
  const anchor = useRef(0);
  useEffect(() => setHeld(null), [from, until]);
  const [left, right] = held ?? [from, until];
  const last = bins.length;
  const most = Math.max(1, ...bins.map((bin) => bin.messages));
  const edge = (/** @type {number} */ index) => (index < last ? (bins[index]?.at ?? 0) : (bins[last - 1]?.until ?? 0));
  const long = edge(last) - edge(0) > LONG_MS;
  const when = (/** @type {number} */ index) =>
    long ? day.format(edge(index)) : clockOf(new Date(edge(index)).toISOString());
  const word = (/** @type {number} */ index) => (index === last ? "now" : when(index));
  const inside = bins.slice(left, right).reduce((sum, bin) => sum + bin.messages, 0);

  const at = (/** @type {PointerEvent} */ event) => {
    const box = /** @type {SVGElement} */ (plot.current).getBoundingClientRect();
    return Math.min(last, Math.max(0, ((event.clientX - box.left) / box.width) * last));
  };
  const down = (/** @type {PointerEvent} */ event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    plot.current?.setPointerCapture(event.pointerId);
    anchor.current = at(event);
    move(event);
  };
  const move = (/** @type {PointerEvent} */ event) => {
    if (!plot.current?.hasPointerCapture(event.pointerId)) return;
    const here = at(event);
    const low = Math.floor(Math.min(anchor.current, here));
    setHeld([Math.min(low, last - 1), Math.min(last, Math.max(low + 1, Math.ceil(Math.max(anchor.current, here))))]);
  };
  const up = () => held && set(...held);
  const end = (/** @type {"from" | "until"} */ side) => (/** @type {any} */ event) => {
    const value = Number(event.target.value);
    const next = /** @type {[number, number]} */ (
      side === "from" ? [Math.min(value, right - 1), right] : [left, Math.max(value, left + 1)]
    );
    event.target.value = String(side === "from" ? next[0] : next[1]);
    setHeld(next);
    if (event.type === "change") set(...next);
  };
  const handle = (/** @type {"from" | "until"} */ side, /** @type {number} */ value) =>
    html`<label class=${`brush-end is-${side}`}><span>${side === "from" ? "From" : "Until"} <b>${word(value)}</b></span>
      <input type="range" min="0" max=${last} step="1" value=${value} aria-valuetext=${word(value)} onInput=${end(side)} onChange=${end(side)} /></label>`;
  return html`<div class="brush" role="group" aria-label="Stretch of time">
    <svg class="brush-plot" ref=${plot} viewBox=${`0 0 ${last * 4} 48`} preserveAspectRatio="none" role="img"
      aria-label=${`${plural(inside, "message")} from ${word(left)} until ${word(right)}, at most ${number(most)} in one bar`}
      onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => setHeld(null)}>
      <rect class="brush-band" x=${left * 4} y="0" width=${(right - left) * 4} height="48" />
      ${bins.map((bin, index) => {
        const tall = (bin.messages / most) * 44;
        return html`<rect key=${bin.at} class=${index >= left && index < right ? "bar" : "bar is-out"} x=${index * 4 + 0.4} y=${48 - tall} width="3.2" height=${tall}><title>${`${word(index)}: ${plural(bin.messages, "message")}`}</title></rect>`;
      })}
    </svg>
    ${handle("from", left)}${handle("until", right)}
  </div>`;
}
