/** One agent in full, beside the list. */
import { html, useEffect, useRef } from "../../lib.js";
import { agents, useResource } from "../../core/data.js";
import { fullTime, number } from "../../core/format.js";
import { address, go, route } from "../../core/router.js";
import { readable } from "../../core/text.js";
import { composing } from "../../ui/composer.js";
import { Button, Chip, Choice, Code, copy, Icon, Status, Time } from "../../ui/bits.js";
import { Claims, Mail } from "./mail.js";
import { Moments } from "./moments.js";
import { Hour, Labels, WakePaths } from "./parts.js";
import { leaving, removeAgent, where } from "./state.js";

/** @typedef {import("../../core/types.js").Agent} Agent */

/** To the list, as it was filtered, and to where one came from in it. @param {string} id */
function close(id) {
  const { show: _, ...kept } = route.value.query;
  go(address("agents", "", kept));
  requestAnimationFrame(() =>
    /** @type {HTMLElement | null} */ (document.querySelector(`main [data-agent="${CSS.escape(id)}"]`))?.focus({
      preventScroll: true,
    }),
  );
}

/** @param {{id: string}} props */
export function Drawer({ id }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => box.current?.focus(), []);
  void agents.version.value; // who leaves is heard of by it
  const agent = agents.get(id);
  const shown = readable(id);
  return html`<aside class="drawer agent-drawer" ref=${box} tabindex="-1" aria-label=${`Agent ${shown}`}>
    <header>
      <h2 class="agent-id">${shown}</h2>
      <${Button} kind="plain" icon="copy" label="Copy the id" run=${() => void copy(id, box.current?.querySelector("h2"))} />
      <button type="button" class="button plain" data-close aria-label="Close" title="Close (Esc)" onClick=${() => close(id)}><${Icon} name="x" /></button>
    </header>
    <div class="drawer-inside">${agent === undefined || leaving.value.has(id) ? html`<${Gone} id=${id} known=${agent !== undefined} />` : html`<${Inside} agent=${agent} />`}</div>
  </aside>`;
}

/** @param {{id: string, known: boolean}} props */
function Gone({ id, known }) {
  // Beyond what the page keeps there may be more agents than it has asked for.
  const { data, error } = useResource(known ? null : `/agents/${encodeURIComponent(id)}`, {
    on: /^agent\.registered$/,
  });
  useEffect(() => {
    if (data !== null) agents.put(data);
  }, [data]);
  if (!known && error === null) return html`<p class="quiet" role="status">Looking for it…</p>`;
  return html`<div class="empty small"><${Icon} name="robot" /><h3>${known ? "This agent is being removed" : "No agent of this id is registered"}</h3>
      <p>${known ? "Until then it can be undone." : "It left, was dropped after being offline for long, or the id is misspelt. Mail to it is kept and delivered when it registers."}</p>
      <p><a href=${address("agents")}>All agents</a></p></div>
    ${!known && error?.code === "agent-not-found" && html`<${Moments} id=${id} gone />`}`;
}

const PANES = /** @type {const} */ ([
  ["timeline", "Timeline"],
  ["inbox", "Inbox"],
  ["sent", "Sent"],
]);

/** @param {{agent: Agent}} props */
function Inside({ agent }) {
  const { id } = agent;
  const pane = where.read().show ?? "timeline";
  return html`<div class="bar">
      <${Status} status=${agent.status} />
      ${!agent.ready && html`<${Chip} tone="warn">not taking work</${Chip}>`}
      <span class="grow"></span>
      <${Button} kind="small main" icon="send" run=${() => void (composing.value = { to: id })}>Send message</${Button}>
      <${Button} kind="small bad" icon="trash" run=${() => (removeAgent(id), close(id))} title="It leaves; its claims are released">Remove agent</${Button}>
    </div>
    <${Labels} agent=${agent} explain />
    <figure><figcaption>The last hour <span class="grow"></span><span>last sign of life <${Time} at=${agent.lastSeenAt} /></span></figcaption><${Hour} id=${id} /></figure>
    <dl class="facts">
      <${Fact} name="Project" value=${agent.project} /><${Fact} name="Rig" value=${agent.rig} /><${Fact} name="Host" value=${agent.host} /><${Fact} name="Version" value=${agent.version} />
      <dt>Takes work</dt><dd>${agent.ready ? "yes" : "no"}</dd>
      <dt>Tags</dt><dd><${List} words=${agent.tags} /></dd>
      <dt>Capabilities</dt><dd><${List} words=${agent.capabilities} /></dd>
      <dt>Wake paths</dt><dd><${WakePaths} paths=${agent.wakePaths} /></dd>
      <dt>Unread</dt><dd>${number(agent.unread)}${agent.unread >= 10_000 ? " or more" : ""}</dd>
      <dt>Prompt</dt><dd>${number(agent.promptChars)} characters put before it so far</dd>
      <dt>Registered</dt><dd>${fullTime(agent.registeredAt)}</dd>
    </dl>
    ${Object.keys(agent.meta).length > 0 && html`<details class="agent-meta"><summary>Meta</summary><${Code} text=${readable(JSON.stringify(agent.meta, null, 2))} language="JSON" label="Copy the meta" /></details>`}
    <${Claims} id=${id} />
    <section class="agent-pane" aria-label="What happened with it">
      <${Choice} label="Show" value=${pane} options=${PANES} set=${(/** @type {any} */ show) => where.set({ show: show === "timeline" ? undefined : show })} />
      ${pane === "timeline" ? html`<${Moments} id=${id} />` : html`<${Mail} key=${pane} id=${id} kind=${pane} />`}
    </section>`;
}

/** @param {{name: string, value: string | null}} props */
const Fact = ({ name, value }) =>
  html`<dt>${name}</dt><dd>${value === null ? html`<span class="quiet">not said</span>` : readable(value)}</dd>`;

/** @param {{words: string[]}} props */
const List = ({ words }) =>
  words.length === 0
    ? html`<span class="quiet">none</span>`
    : html`<span class="words">${words.map((word) => html`<${Chip} key=${word} title=${readable(word)}>${readable(word)}</${Chip}>`)}</span>`;
