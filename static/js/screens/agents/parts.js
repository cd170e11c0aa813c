/** What a card and the drawer both show of an agent. */
import { html, useComputed, useEffect, useRef, useState } from "../../lib.js";
import { agents, tasks } from "../../core/data.js";
import { address } from "../../core/router.js";
import { firstLine, readable } from "../../core/text.js";
import { Button, Chip, Icon, Status, Time } from "../../ui/bits.js";
import { Heartbeat } from "../../ui/charts.js";
import { changeLabels, held, NONE, presence } from "./state.js";

/** @typedef {import("../../core/types.js").Agent} Agent */

/** Labels, which are for people: a person gives and takes them here. @param {{agent: Agent, explain?: boolean}} props */
export function Labels({ agent, explain = false }) {
  const [editing, setEditing] = useState(false);
  const opener = useRef(/** @type {HTMLElement | null} */ (null));
  const wasEditing = useRef(false);
  useEffect(() => {
    if (wasEditing.current && !editing) opener.current?.querySelector("button")?.focus();
    wasEditing.current = editing;
  }, [editing]);
  if (!editing) {
    return html`<div class="labels" ref=${opener}>
      ${agent.labels.map((label) => html`<${Chip} key=${label} tone="note" title=${readable(label)}>${readable(label)}</${Chip}>`)}
      <button type="button" class="button plain small" onClick=${() => setEditing(true)} aria-label=${agent.labels.length ? `Edit the labels of ${agent.id}` : `Add a label to ${agent.id}`} title=${agent.labels.length ? "Edit labels" : undefined}>
        <${Icon} name=${agent.labels.length ? "pencil" : "tag"} />${agent.labels.length ? "" : "Add a label"}</button>
    </div>`;
  }
  return html`<${LabelEditor} agent=${agent} explain=${explain} close=${() => setEditing(false)} />`;
}

/** @param {{agent: Agent, explain: boolean, close: () => void}} props */
function LabelEditor({ agent, explain, close }) {
  const [text, setText] = useState("");
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => field.current?.focus(), []);
  const wanted = text.trim();
  const add = async () => {
    if (wanted === "") return void field.current?.focus();
    await changeLabels(agent.id, (labels) => (labels.includes(wanted) ? labels : [...labels, wanted]));
    setText("");
    field.current?.focus();
  };
  const remove = (/** @type {string} */ label) => async () => {
    await changeLabels(agent.id, (labels) => labels.filter((other) => other !== label));
    field.current?.focus();
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (event.key === "Enter" && event.target === field.current) {
      event.preventDefault();
      /** @type {HTMLElement | null} */ (field.current?.closest(".labels")?.querySelector(".label-add"))?.click();
    }
  };
  const list = `labels-${agent.id}`;
  return html`<div class="labels is-open" role="group" aria-label=${`Labels of ${agent.id}`} onKeyDown=${key}>
    ${agent.labels.map(
      (
        label,
      ) => html`<${Button} key=${label} kind="small label" what=${`Could not remove the label ${firstLine(label, 40)}`} label=${`Remove the label ${readable(label)}`} run=${remove(label)}>
        <span>${readable(label)}</span><${Icon} name="x" /></${Button}>`,
    )}
    <div class="label-row">
      <label><span class="unseen">New label</span>
        <input ref=${field} value=${text} maxlength="128" placeholder="New label" list=${list} autocomplete="off" onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></label>
      <datalist id=${list}>${known()
        .filter((label) => !agent.labels.includes(label))
        .map((label) => html`<option value=${label} />`)}</datalist>
      <${Button} kind="small label-add" icon="plus" what="Could not add the label" run=${add} disabled=${wanted === ""}>Add</${Button}>
      <button type="button" class="button small plain" onClick=${close}>Done</button>
    </div>
    ${explain && html`<p class="quiet small">Whoever writes to <code>label:</code> and a label’s text reaches the agents that have it. A label that an agent gives itself comes back when it registers anew.</p>`}
  </div>`;
}

/** Every label that any agent has. */
function known() {
  return [...new Set(agents.all().flatMap((agent) => agent.labels))].sort();
}

/** The last hour as bars. @param {{id: string}} props */
export function Hour({ id }) {
  const known = presence.value;
  if (known === null) return html`<div class="hour is-waiting" aria-hidden="true"></div>`;
  return html`<div class="hour"><${Heartbeat} changes=${known.changes.get(id) ?? []} from=${known.from} to=${known.to} /></div>`;
}

/** Ways to reach an agent while it does something else. @param {{paths: Agent["wakePaths"]}} props */
export const WakePaths = ({ paths }) =>
  paths.length === 0
    ? html`<span class="quiet">none: it sees what comes when it looks</span>`
    : html`<ul class="wakes">${paths.map(
        (path) =>
          html`<li key=${path.name} class=${path.armed ? "is-armed" : ""}><${Icon} name=${path.armed ? "bell" : "clock"} /><b>${readable(path.name)}</b> ${path.armed ? "armed" : "not armed"}, <span class="quiet">${path.lastProvedAt === null ? "never proved yet" : html`proved <${Time} at=${path.lastProvedAt} />`}</span></li>`,
      )}</ul>`;

/** A task that an agent holds, in a line. @param {{id: number}} props */
function HeldTask({ id }) {
  const task = tasks.get(id);
  if (task === undefined) return null;
  return html`<li><a href=${address("tasks", id)} title=${firstLine(task.title)}><span class="held-title">${firstLine(task.title)}</span></a>
    <span class="held-state"><${Status} status=${task.status} />${task.progress !== null && html`<span class="quiet">${task.progress} %</span>`}</span></li>`;
}

/** The active tasks that an agent holds. @param {{id: string, most?: number}} props */
export function Held({ id, most = 3 }) {
  const ids = useComputed(() => held.value.get(id) ?? NONE).value;
  if (ids.length === 0) return html`<span class="quiet">none claimed</span>`;
  return html`<ul class="held">
    ${ids.slice(0, most).map((task) => html`<${HeldTask} key=${task} id=${task} />`)}
    ${ids.length > most && html`<li><a href=${address("tasks", "", { claimedBy: id })}>and ${ids.length - most} more</a></li>`}
  </ul>`;
}

/** Words that an agent says of itself. @param {{agent: Agent}} props */
export const Words = ({ agent }) =>
  agent.tags.length + agent.capabilities.length === 0
    ? null
    : html`<p class="words">
        ${agent.tags.map((tag) => html`<${Chip} key=${`t${tag}`} title=${`tag:${readable(tag)}`}><span class="quiet">tag</span> ${readable(tag)}</${Chip}>`)}
        ${agent.capabilities.map((capability) => html`<${Chip} key=${`c${capability}`} title=${`cap:${readable(capability)}`}><span class="quiet">cap</span> ${readable(capability)}</${Chip}>`)}
      </p>`;

/** Where and what an agent runs in. @param {{agent: Agent}} props */
export function Place({ agent }) {
  const parts = [
    agent.project,
    agent.rig && `${agent.rig}${agent.version ? ` ${agent.version}` : ""}`,
    agent.host && `on ${agent.host}`,
  ].filter(Boolean);
  return html`<p class="place">${parts.length === 0 ? html`<span class="quiet">says nothing of where it runs</span>` : parts.map((part, index) => html`<span key=${index}>${readable(/** @type {string} */ (part))}</span>`)}</p>`;
}
