/** Who talks to whom, as a picture: senders and targets around a circle, a line for each pair. It is drawn once, and rests. */
import { html, useMemo, useState } from "../../lib.js";
import { number, plural } from "../../core/format.js";
import { address, route } from "../../core/router.js";
import { readable } from "../../core/text.js";
import { Icon, Who } from "../../ui/bits.js";
import { kindOf } from "./flows.js";

/** @typedef {{id: string, x: number, y: number, angle: number, turned: boolean, size: number, sent: number, received: number}} Node */
/** @typedef {{from: Node, to: Node, messages: number}} Edge */

const WIDE = 310;
const HIGH = 235;
const SIZE = { width: 1240, height: 800 };
const MIDDLE = { x: SIZE.width / 2, y: SIZE.height / 2 };
/** Letters of a name at the sides, where it stands upright, and above and below, where it is turned. */
const LONGEST = 34;
const LONGEST_TURNED = 16;
/** So many names have room beside each other without being turned. */
const UPRIGHT = 48;
/** So many lines hide each other, unless they are fainter. */
const CROWD = 120;

/** @param {import("./flows.js").Flows} flows */
function layout({ rows, columns, count, most }) {
  const sent = new Map(rows.filter((row) => row.rest === 0).map((row) => [row.id, row.total]));
  const received = new Map(columns.filter((column) => column.rest === 0).map((column) => [column.id, column.total]));
  // Groups, whose names are short, above and below; agents by name at the sides. The same names are always at the same place.
  const ids = [...new Set([...received.keys(), ...sent.keys()])].sort((a, b) => (a < b ? -1 : 1));
  const groups = ids.filter((id) => kindOf(id) !== "agent");
  const agents = ids.filter((id) => kindOf(id) === "agent");
  const above = Math.ceil(groups.length / 2);
  const right = Math.ceil(agents.length / 2);
  const around = [...groups.slice(0, above), ...agents.slice(0, right), ...groups.slice(above), ...agents.slice(right)];
  /** @type {Map<string, Node>} */
  const nodes = new Map();
  around.forEach((id, index) => {
    const angle = (2 * Math.PI * (index - (above - 1) / 2)) / around.length - Math.PI / 2;
    const all = (sent.get(id) ?? 0) + (received.get(id) ?? 0);
    const turned = Math.abs(Math.cos(angle)) < 0.35 || around.length > UPRIGHT;
    nodes.set(id, {
      id,
      angle,
      turned,
      x: MIDDLE.x + WIDE * Math.cos(angle),
      y: MIDDLE.y + HIGH * Math.sin(angle),
      size: Math.min(13, 4 + 1.1 * Math.sqrt(all)),
      sent: sent.get(id) ?? 0,
      received: received.get(id) ?? 0,
    });
  });
  /** @type {Edge[]} */
  const edges = [];
  for (const row of rows) {
    for (const column of columns) {
      const messages = count(row, column);
      const from = nodes.get(row.id);
      const to = nodes.get(column.id);
      if (messages > 0 && from !== undefined && to !== undefined) edges.push({ from, to, messages });
    }
  }
  edges.sort((a, b) => a.messages - b.messages);
  return { nodes: [...nodes.values()], edges, most };
}

/** @param {{flows: import("./flows.js").Flows, node: string | undefined, choose: (id: string | undefined) => void}} props */
export function Graph({ flows, node, choose }) {
  const { nodes, edges, most } = useMemo(() => layout(flows), [flows]);
  const [pointed, setPointed] = useState(/** @type {string | null} */ (null));
  const lit = pointed ?? node ?? null;
  const chosen = nodes.find(({ id }) => id === node);
  const touches = (/** @type {Edge} */ edge) => edge.from.id === lit || edge.to.id === lit;
  const near = new Set(lit === null ? [] : edges.filter(touches).flatMap((edge) => [edge.from.id, edge.to.id]));
  return html`<div class=${`graph${chosen ? " has-chosen" : ""}`}>
    <div class="graph-box" tabindex="0" role="region" aria-label="Graph of who writes to whom">
      <svg viewBox=${`0 0 ${SIZE.width} ${SIZE.height}`} class=${lit === null ? "" : "has-lit"} style=${{ "--faint": edges.length > CROWD ? 0.2 : 0.4 }} role="group" aria-label=${`${plural(nodes.length, "node")}, ${plural(edges.length, "line")}`}>
        <defs><marker id="graph-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 z" /></marker></defs>
        <g class="graph-edges" aria-hidden="true">
          ${edges.map(
            (
              edge,
            ) => html`<a key=${`${edge.from.id}\n${edge.to.id}`} tabindex="-1" class=${touches(edge) ? (edge.from.id === lit ? "is-lit" : "is-lit is-in") : ""} href=${address("threads", "", { from: edge.from.id, to: edge.to.id })}>
            <title>${`${plural(edge.messages, "message")} from ${readable(edge.from.id)} to ${readable(edge.to.id)}`}</title>
            <path d=${curve(edge)} stroke-width=${(0.75 + 5 * Math.sqrt(edge.messages / most)).toFixed(2)} marker-end="url(#graph-tip)" /></a>`,
          )}
        </g>
        ${nodes.map((one) => html`<${NodeLink} key=${one.id} node=${one} chosen=${one.id === node} quiet=${lit !== null && one.id !== lit && !near.has(one.id)} point=${setPointed} />`)}
      </svg>
    </div>
    ${chosen && html`<${Chosen} node=${chosen} edges=${edges} close=${() => choose(undefined)} />`}
  </div>`;
}

/** A line that leaves the circle's edge, bent towards the middle; the two directions of a pair lie beside each other. @param {Edge} edge */
function curve({ from, to }) {
  if (from === to) {
    const out = 46;
    const away = (/** @type {number} */ turn) =>
      `${(from.x - out * Math.cos(from.angle + turn)).toFixed(1)} ${(from.y - out * Math.sin(from.angle + turn)).toFixed(1)}`;
    return `M${from.x.toFixed(1)} ${from.y.toFixed(1)} C${away(0.7)} ${away(-0.7)} ${from.x.toFixed(1)} ${from.y.toFixed(1)}`;
  }
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const length = Math.hypot(dx, dy);
  const bend = 0.55 * Math.max(0, 1 - length / (2 * HIGH)) + 0.12;
  const side = 14 / length;
  const cx = (from.x + to.x) / 2 + bend * (MIDDLE.x - (from.x + to.x) / 2) - dy * side;
  const cy = (from.y + to.y) / 2 + bend * (MIDDLE.y - (from.y + to.y) / 2) + dx * side;
  const reach = Math.hypot(to.x - cx, to.y - cy) || 1;
  const stop = (to.size + 3) / reach;
  return `M${from.x.toFixed(1)} ${from.y.toFixed(1)} Q${cx.toFixed(1)} ${cy.toFixed(1)} ${(to.x - (to.x - cx) * stop).toFixed(1)} ${(to.y - (to.y - cy) * stop).toFixed(1)}`;
}

/** @param {{node: Node, chosen: boolean, quiet: boolean, point: (id: string | null) => void}} props */
function NodeLink({ node, chosen, quiet, point }) {
  const text = readable(node.id);
  const room = node.turned ? LONGEST_TURNED : LONGEST;
  const shown = text.length > room ? `${text.slice(0, room - 10)}…${text.slice(-9)}` : text;
  const left = Math.cos(node.angle) < -1e-6;
  const turn = node.turned ? (node.angle * 180) / Math.PI + (left ? 180 : 0) : 0;
  const off = node.size + 8;
  const query = { ...route.value.query, node: chosen ? undefined : node.id };
  return html`<a data-row class=${`node is-${kindOf(node.id)}${chosen ? " is-chosen" : ""}${quiet ? " is-quiet" : ""}`} href=${address("map", "", query)} aria-label=${`${shown === text ? text : `${shown} (${text})`}: ${number(node.sent)} sent, ${number(node.received)} received`} aria-current=${chosen ? "true" : undefined}
    onMouseEnter=${() => point(node.id)} onMouseLeave=${() => point(null)} onFocus=${() => point(node.id)} onBlur=${() => point(null)}>
    ${
      kindOf(node.id) === "agent"
        ? html`<circle cx=${node.x} cy=${node.y} r=${node.size} />`
        : html`<rect x=${node.x - node.size} y=${node.y - node.size} width=${2 * node.size} height=${2 * node.size} rx="2" />`
    }
    <text transform=${`translate(${node.x.toFixed(1)} ${node.y.toFixed(1)}) rotate(${turn.toFixed(1)})`} x=${left ? -off : off} dy="0.34em" text-anchor=${left ? "end" : "start"}>${shown}</text>
  </a>`;
}

/** What a node sends and gets, as links: the same as its lines, for the keyboard and for whoever reads. @param {{node: Node, edges: Edge[], close: () => void}} props */
function Chosen({ node, edges, close }) {
  const list = (/** @type {"from" | "to"} */ side) => edges.filter((edge) => edge[side] === node).reverse();
  const part = (/** @type {string} */ title, /** @type {Edge[]} */ found, /** @type {"from" | "to"} */ other) =>
    found.length > 0 &&
    html`<h3>${title} <span class="quiet">${number(found.reduce((sum, edge) => sum + edge.messages, 0))}</span></h3>
      <ul>${found.map((edge) => html`<li key=${edge[other].id}><a data-row href=${address("threads", "", { from: edge.from.id, to: edge.to.id })}><${Who} id=${edge[other].id} link=${false} /><b>${number(edge.messages)}</b></a></li>`)}</ul>`;
  return html`<aside class="panel graph-chosen" aria-labelledby="chosen-title">
    <header class="panel-head"><h2 id="chosen-title"><${Who} id=${node.id} /></h2><span class="grow"></span>
      <button type="button" class="button plain" data-close aria-label="Close" onClick=${close}><${Icon} name="x" /></button></header>
    ${part("Sent to", list("from"), "to")}${part("Received from", list("to"), "from")}
  </aside>`;
}
