/** The agents as cards, or as a denser table. */
import { html, useComputed, useLayoutEffect, useRef, useState } from "../../lib.js";
import { agents } from "../../core/data.js";
import { number, plural } from "../../core/format.js";
import { address, route } from "../../core/router.js";
import { readable } from "../../core/text.js";
import { Chip, Status, Time } from "../../ui/bits.js";
import { WHOLE, Windowed } from "../../ui/windowed.js";
import { Held, Hour, Labels, Place, WakePaths, Words } from "./parts.js";
import { held, NONE } from "./state.js";

/** @typedef {import("../../core/types.js").Agent} Agent */

const CARD_PX = 304; // 19rem, as in agents.css
const GAP_PX = 12;

/** @param {{ids: string[]}} props */
export function Cards({ ids }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [columns, setColumns] = useState(3);
  const many = ids.length > WHOLE;
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const look = () => setColumns(Math.max(1, Math.floor((element.clientWidth + GAP_PX) / (CARD_PX + GAP_PX))));
    look();
    const sized = new ResizeObserver(look);
    sized.observe(element);
    return () => sized.disconnect();
  }, [many]);
  if (!many)
    return html`<div class="agents-scroll" tabindex="-1"><ul class="agent-cards" aria-label="Agents">${ids.map((id) => html`<li key=${id}><${Card} id=${id} /></li>`)}</ul></div>`;
  /** @type {string[][]} */
  const rows = [];
  for (let at = 0; at < ids.length; at += columns) rows.push(ids.slice(at, at + columns));
  return html`<div class="agents-many" ref=${box}>
    <${Windowed} items=${rows} whole=${0} keyOf=${(/** @type {string[]} */ row) => row[0] ?? ""} rowPx=${312} label="Agents, several in a row" kind="agent-rows"
      row=${(/** @type {string[]} */ row) => html`<div class="agent-cards is-row" style=${{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>${row.map((id) => html`<${Card} key=${id} id=${id} />`)}</div>`} />
  </div>`;
}

/** @param {{id: string}} props */
function Card({ id }) {
  const agent = agents.get(id);
  if (agent === undefined) return null;
  const alive = agent.status !== "offline" && agent.status !== "stale";
  return html`<article class=${`agent-card${alive ? "" : " is-away"}${route.value.id === id ? " is-shown" : ""}`} aria-label=${id}>
    <header>
      <${Status} status=${agent.status} />
      ${!agent.ready && html`<${Chip} tone="warn" title="ready is false: registered, not taking work">not taking work</${Chip}>`}
      <span class="grow"></span>
      ${agent.unread > 0 && html`<a class="agent-unread" href=${address("agents", id, { ...route.value.query, show: "inbox" })}><span>${number(agent.unread)} unread</span></a>`}
    </header>
    <h2><a class="agent-id" data-row data-agent=${id} href=${address("agents", id, route.value.query)} aria-current=${route.value.id === id ? "true" : undefined}>${readable(id)}</a></h2>
    <${Place} agent=${agent} />
    <${Labels} agent=${agent} />
    <${Words} agent=${agent} />
    <div class="agent-life"><${Hour} id=${id} /><span title="Last sign of life"><span class="unseen">Last sign of life: </span><${Time} at=${agent.lastSeenAt} /></span></div>
    <dl class="agent-more">
      <div><dt>Tasks</dt><dd><${Held} id=${id} /></dd></div>
      <div><dt>Wake</dt><dd><${WakePaths} paths=${agent.wakePaths} /></dd></div>
      ${agent.promptChars > 0 && html`<div><dt>Prompt</dt><dd>${plural(agent.promptChars, "character")} <span class="quiet">put before it so far</span></dd></div>`}
    </dl>
  </article>`;
}

/** @param {{ids: string[]}} props */
export const Table = ({ ids }) =>
  html`<section class="panel agents-table" aria-label="Agents as a table">
    <div class="agent-row is-head" aria-hidden="true"><span>Status</span><span>Agent</span><span>Labels</span><span>Where</span><span>Tasks</span><span>Unread</span><span>Last hour</span><span>Seen</span></div>
    <${Windowed} items=${ids} keyOf=${(/** @type {string} */ id) => id} rowPx=${36} label="Agents" row=${(/** @type {string} */ id) => html`<${Row} id=${id} />`} />
  </section>`;

/** @param {{id: string}} props */
function Row({ id }) {
  const agent = agents.get(id);
  const holds = useComputed(() => held.value.get(id) ?? NONE).value.length;
  if (agent === undefined) return null;
  const place = [agent.project, agent.rig, agent.host].filter(Boolean).join(" · ");
  return html`<a class=${`agent-row${route.value.id === id ? " is-shown" : ""}`} data-row data-agent=${id} href=${address("agents", id, route.value.query)} aria-current=${route.value.id === id ? "true" : undefined}>
    <span class="of-status"><${Status} status=${agent.status} />${!agent.ready && html`<span class="warn-word" title="Not taking work">not ready</span>`}</span>
    <span class="agent-id" title=${id}>${readable(id)}</span>
    <span class="of-labels">${agent.labels.map((label) => html`<${Chip} key=${label} tone="note" title=${readable(label)}>${readable(label)}</${Chip}>`)}</span>
    <span class="quiet of-place" title=${readable(place)}>${readable(place)}</span>
    <span class="of-number">${holds > 0 ? html`${holds}<span class="unseen"> claimed tasks</span>` : ""}</span>
    <span class="of-number">${agent.unread > 0 ? html`<b>${number(agent.unread)}</b><span class="unseen"> unread</span>` : ""}</span>
    <${Hour} id=${id} />
    <span class="quiet of-seen"><span class="unseen">last sign of life </span><${Time} at=${agent.lastSeenAt} /></span>
  </a>`;
}
