/** Map: who talks to whom, within a time. */
import { html, useMemo, useRef } from "../lib.js";
import { query, useResource } from "../core/data.js";
import { number, now, plural } from "../core/format.js";
import { filters } from "../core/router.js";
import { Button, Choice, Code, Empty, Filtered, SearchField, Trouble } from "../ui/bits.js";
import { composing } from "../ui/composer.js";
import { joinCommand } from "../ui/join-commands.js";
import { Brush } from "./map/brush.js";
import { binsOf, fold, MOST } from "./map/flows.js";
import { Graph } from "./map/graph.js";
import { Matrix } from "./map/matrix.js";

/** @typedef {import("./map/flows.js").Traffic} Traffic */

const INSTANT = (/** @type {string} */ value) =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value) && !Number.isNaN(Date.parse(value));
const where = filters({
  view: ["graph"],
  last: ["15m", "1h", "all"],
  from: INSTANT,
  until: INSTANT,
  q: /^[^\0]{1,128}$/,
  node: /^[^\0]{1,128}$/,
});
const RANGES = /** @type {const} */ ([
  ["15m", "15 min"],
  ["1h", "1 h"],
  ["24h", "24 h"],
  ["all", "All"],
]);
/** @type {Record<string, number>} */
const LENGTHS_MS = { "15m": 900_000, "1h": 3_600_000, "24h": 86_400_000 };
/** The relay counts in stretches of ten minutes: a window that begins with one asks for the same path all through it. */
const STRETCH_MS = 600_000;
const LIVE = { on: /^message\.new$/, everyMs: 3_000, pollMs: 60_000 };

/** @param {number | null | undefined} ms */
const instant = (ms) => (ms == null ? undefined : new Date(ms).toISOString());

export function Map() {
  const wanted = where.read();
  const last = wanted.last ?? "24h";
  const at = now.value;
  const length = LENGTHS_MS[last];
  const since = length === undefined ? null : Math.floor((at - length) / STRETCH_MS) * STRETCH_MS;
  const brushed = wanted.from !== undefined || wanted.until !== undefined;
  const frame = useKept(useResource(`/traffic${query({ since: instant(since) })}`, LIVE));
  const part = useKept(
    useResource(
      brushed ? `/traffic${query({ since: wanted.from ?? instant(since), until: wanted.until })}` : null,
      LIVE,
    ),
  );
  const { data, error, reload } = brushed ? part : frame;
  const whole = frame.data;
  const bins = useMemo(
    () => (whole === null ? [] : binsOf(whole, since, at)),
    [whole, since, Math.floor(at / STRETCH_MS)],
  );
  const flows = useMemo(() => (data === null ? null : fold(data.cells, wanted.q ?? "")), [data, wanted.q]);
  return html`<div class="bar map-bar"><h1>Map</h1>
      <${Choice} label="View" value=${wanted.view ?? "matrix"} options=${[
        ["matrix", "Matrix"],
        ["graph", "Graph"],
      ]} set=${(/** @type {string} */ view) => where.set({ view: view === "graph" ? view : undefined, node: undefined })} />
      <${Choice} label="Time" value=${brushed ? "" : last} options=${RANGES} set=${(/** @type {string} */ value) => where.set({ last: value === "24h" ? undefined : value, from: undefined, until: undefined })} />
      <${SearchField} main label="Agent or target" value=${wanted.q} set=${(/** @type {string} */ q) => where.set({ q: q || undefined }, { replace: true })} />
      <span class="grow"></span>
      ${flows && html`<p class="quiet" role="status">${plural(flows.total, "message")}, ${plural(senders(flows.rows), "sender")}, ${plural(senders(flows.columns), "target")}</p>`}
    </div>
    ${bins.length > 1 && html`<${TimeBrush} bins=${bins} from=${wanted.from} until=${wanted.until} />`}
    <${Trouble} error=${error} reload=${reload} />
    ${flows && data && html`<${Picture} flows=${flows} traffic=${data} wanted=${wanted} unbounded=${last === "all" && !brushed} />`}`;
}

/** @param {import("./map/flows.js").Line[]} lines */
const senders = (lines) => lines.reduce((sum, line) => sum + (line.rest || 1), 0);

/**
 * What was there stays until the new is there, also where another path is asked for.
 * @param {import("../core/data.js").Resource<Traffic>} resource
 */
function useKept(resource) {
  const kept = useRef(/** @type {Traffic | null} */ (null));
  if (resource.data !== null) kept.current = resource.data;
  return { ...resource, data: kept.current };
}

/** @param {{bins: import("./map/flows.js").Bin[], from?: string, until?: string}} props */
function TimeBrush({ bins, from, until }) {
  const begin =
    from === undefined
      ? 0
      : Math.max(
          0,
          bins.findIndex((bin) => bin.until > Date.parse(from)),
        );
  const found = until === undefined ? -1 : bins.findIndex((bin) => bin.until >= Date.parse(until));
  const end = Math.max(begin + 1, found < 0 ? bins.length : found + 1);
  const set = (/** @type {number} */ left, /** @type {number} */ right) =>
    where.set(
      {
        from: left === 0 ? undefined : instant(bins[left]?.at),
        until: right === bins.length ? undefined : instant(bins[right]?.at),
      },
      { replace: true },
    );
  return html`<section class="panel map-time" aria-label="When">
    <${Brush} bins=${bins} from=${begin} until=${end} set=${set} />
    <${Button} kind="small" disabled=${from === undefined && until === undefined} run=${() => set(0, bins.length)}>Whole time</${Button}>
  </section>`;
}

/** @param {{flows: import("./map/flows.js").Flows, traffic: Traffic, wanted: ReturnType<typeof where.read>, unbounded: boolean}} props */
function Picture({ flows, traffic, wanted, unbounded }) {
  if (flows.total === 0 && (wanted.q !== undefined || !unbounded)) {
    return html`<${Filtered} what="messages" clear=${() => where.set({ last: "all", from: undefined, until: undefined, q: undefined })} />`;
  }
  if (flows.total === 0) return html`<${Nobody} />`;
  const rest = [...flows.rows, ...flows.columns].some((line) => line.rest > 0);
  return html`${wanted.view === "graph" ? html`<${Graph} flows=${flows} node=${wanted.node} choose=${(/** @type {string | undefined} */ node) => where.set({ node })} />` : html`<${Matrix} flows=${flows} />`}
    <p class="quiet map-note">${wanted.view === "graph" ? "Squares are groups, human and broadcast; circles are agents. Point at one to see its lines; open one for its numbers." : "A number leads to the threads it counts."}
      ${rest && ` The ${number(MOST - 1)} busiest are shown; ${wanted.view === "graph" ? "the rest is in the matrix, summed." : "the rest is summed."}`}
      ${traffic.truncated && ` Only the ${number(traffic.cells.length)} busiest pairs are counted, of ${number(traffic.buckets.reduce((sum, bucket) => sum + bucket.messages, 0))} messages in all: choose a shorter time to see every pair.`}
      ${" "}Counted in stretches of ${number(traffic.bucketS / 60)} minutes.</p>`;
}

function Nobody() {
  return html`<${Empty} title="Nobody has written to anybody yet" icon="arrows-exchange">
    <p>As soon as agents talk, this shows who writes to whom. Let one join, or write the first message:</p>
    <${Code} text=${joinCommand()} label="Copy the join command" />
    <${Button} kind="main" icon="pencil" run=${() => void (composing.value = { to: "broadcast" })}>Write to everyone</${Button}>
  </${Empty}>`;
}
