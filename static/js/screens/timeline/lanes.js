/** Lanes over time: a sign for each moment, a bar for what lasted. Zoomed in, it is wider than its box and scrolls. */
import { html, useLayoutEffect, useMemo, useRef, useState } from "../../lib.js";
import { clockOf, dayOf, duration, fullTime, secondsOf } from "../../core/format.js";
import { readable } from "../../core/text.js";
import { Icon } from "../../ui/bits.js";
import { LANES, signOf, spansOf, toneOf } from "./entry.js";
import { scaleOf } from "./scale.js";

/** @typedef {import("./entry.js").Entry} Entry */

const SIGN_PX = 24;
/** Where a finger points, signs are larger and stand further apart; css has the size. */
const SIGN_TOUCH_PX = 34;
const LEVELS = 3;
const TICK_PX = 110;
/** Less than this says nothing: on a phone the lanes scroll from the start. */
const LEAST_PX = 560;
/** Room at both ends, so that the first and the last sign are whole. */
const PAD_PX = 18;

/**
 * @param {{entries: Entry[], zoom: number, shorten: boolean, lit: number | null, point: (index: number | null) => void, open: (index: number) => void}} props
 */
export function Lanes({ entries, zoom, shorten, lit, point, open }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [seen, setSeen] = useState(800);
  const apart = matchMedia("(max-width: 40rem)").matches ? SIGN_TOUCH_PX : SIGN_PX;
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    const look = () => setSeen(Math.max(LEAST_PX, element.clientWidth));
    const sized = new ResizeObserver(look);
    sized.observe(element);
    look();
    return () => sized.disconnect();
  }, []);
  const width = seen * zoom;
  const scale = useMemo(
    () =>
      scaleOf(
        entries.map((entry) => Date.parse(entry.at)),
        shorten,
      ),
    [entries, shorten],
  );
  const x = (/** @type {number} */ ms) => PAD_PX + scale.place(ms) * (width - 2 * PAD_PX);
  // What was pointed at comes to the middle; else what is in the middle stays there.
  const middle = useRef(0);
  const pointed = useRef(/** @type {number | null} */ (null));
  if (lit !== null) pointed.current = lit;
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    const entry = entries[pointed.current ?? -1];
    if (entry !== undefined) middle.current = x(Date.parse(entry.at)) / width;
    element.scrollLeft = middle.current * width - element.clientWidth / 2;
  }, [width]);
  const keepMiddle = () => {
    const element = /** @type {HTMLElement} */ (box.current);
    if (Math.abs(element.scrollWidth - width) < 2)
      middle.current = (element.scrollLeft + element.clientWidth / 2) / width;
  };
  const spans = useMemo(() => spansOf(entries, scale.to), [entries, scale]);
  const used = LANES.filter(([lane]) => entries.some((entry) => entry.lane === lane));
  const key = (/** @type {KeyboardEvent} */ event) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0 || !(event.target instanceof HTMLButtonElement) || event.ctrlKey || event.metaKey || event.altKey)
      return;
    event.preventDefault();
    const to = Number(event.target.dataset.index) + by;
    /** @type {HTMLElement | null | undefined} */ (box.current?.querySelector(`[data-index="${to}"]`))?.focus();
  };
  return html`<div class="lanes">
    <ul class="lane-names" aria-hidden="true">${used.map(([lane, name, icon]) => html`<li key=${lane} class=${`lane-name of-${lane}`} style=${{ "--levels": levelsOf(place(entries, lane, x, apart)) }}><${Icon} name=${icon} /><span>${name}</span></li>`)}</ul>
    <div class="lane-box" ref=${box} tabindex="0" role="region" aria-label="Moments over time; arrow keys lead from one to the next" onScroll=${keepMiddle} onKeyDown=${key}>
      <div class="lane-width" style=${{ width: `${width}px` }}>
        ${scale.pauses.map((pause) => html`<${Pause} key=${pause.at} pause=${pause} left=${x(pause.at)} right=${x(pause.until)} />`)}
        ${used.map(([lane, name]) => {
          const placed = place(entries, lane, x, apart);
          return html`<ul key=${lane} class=${`lane of-${lane}`} aria-label=${name} style=${{ "--levels": levelsOf(placed) }}>
            ${(lane === "claim" || lane === "status" ? spans[lane] : []).map(
              (span) =>
                html`<li key=${`${span.from} ${span.word}`} class=${`lane-span is-${span.tone}`} aria-hidden="true" title=${readable(span.word)} style=${{ left: `${x(span.from)}px`, width: `${Math.max(2, x(span.until) - x(span.from))}px` }}><span>${readable(span.word)}</span></li>`,
            )}
            ${placed.map(({ entry, index, left, level }) => html`<${Sign} key=${index} entry=${entry} index=${index} left=${left} level=${level} lit=${lit === index} first=${index === (lit ?? 0)} point=${point} open=${open} />`)}
          </ul>`;
        })}
        <${Axis} scale=${scale} width=${width} x=${x} />
      </div>
    </div>
  </div>`;
}

/** @typedef {{entry: Entry, index: number, left: number, level: number}} Placed */

/** Where the signs of a lane stand; what would lie over another goes a level down. @param {Entry[]} entries @param {string} lane @param {(ms: number) => number} x @param {number} apart px @returns {Placed[]} */
function place(entries, lane, x, apart) {
  /** @type {number[]} */
  const ends = [];
  /** @type {Placed[]} */
  const placed = [];
  entries.forEach((entry, index) => {
    if (entry.lane !== lane) return;
    const left = x(Date.parse(entry.at));
    let level = 0;
    while (level < LEVELS - 1 && (ends[level] ?? -Infinity) > left - apart - 2) level++;
    ends[level] = left;
    placed.push({ entry, index, left, level });
  });
  return placed;
}
/** @param {Placed[]} placed */
const levelsOf = (placed) => placed.reduce((most, { level }) => Math.max(most, level + 1), 1);

/** @param {{entry: Entry, index: number, left: number, level: number, lit: boolean, first: boolean, point: (index: number | null) => void, open: (index: number) => void}} props */
function Sign({ entry, index, left, level, lit, first, point, open }) {
  const [icon] = signOf(entry);
  const said = `${fullTime(entry.at)}: ${readable(entry.text)}`;
  return html`<li class="sign-place" style=${{ left: `${left}px`, "--level": level }}>
    <button type="button" class=${`sign ${toneOf(entry)}${lit ? " is-lit" : ""}`} data-index=${index} tabindex=${first ? "0" : "-1"} aria-label=${said} title=${said}
      onClick=${() => open(index)} onFocus=${() => point(index)} onMouseEnter=${() => point(index)} onMouseLeave=${() => point(null)}><${Icon} name=${icon} /></button></li>`;
}

/** @param {{pause: import("./scale.js").Pause, left: number, right: number}} props */
const Pause = ({ pause, left, right }) =>
  html`<div class="lane-pause" style=${{ left: `${left + SIGN_PX / 2}px`, width: `${Math.max(2, right - left - SIGN_PX)}px` }}>${right - left > 3 * SIGN_PX && html`<span>${duration((pause.until - pause.at) / 1000)}</span>`}</div>`;

/** @param {{scale: import("./scale.js").Scale, width: number, x: (ms: number) => number}} props */
function Axis({ scale, width, x }) {
  const length = scale.to - scale.from;
  const count = Math.max(1, Math.floor((width - 2 * PAD_PX) / TICK_PX));
  const ticks = [];
  for (let index = 0; index <= count; index++) {
    const at = scale.timeAt(index / count);
    if (!scale.pauses.some((pause) => at > pause.at && at < pause.until)) ticks.push(at);
  }
  const word = (/** @type {number} */ at) =>
    length > 4 * 3_600_000 ? clockOf(new Date(at).toISOString()) : secondsOf(new Date(at).toISOString());
  let day = "";
  return html`<div class="lane-axis" aria-hidden="true">${ticks.map((at) => {
    const here = dayOf(new Date(at).toISOString());
    const fresh = here !== day && dayOf(new Date(scale.from).toISOString()) !== dayOf(new Date(scale.to).toISOString());
    day = here;
    return html`<span key=${at} style=${{ left: `${x(at)}px` }}>${word(at)}${fresh && html`<b>${here}</b>`}</span>`;
  })}</div>`;
}
