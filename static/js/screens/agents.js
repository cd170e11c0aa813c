/** Agents: who is there, what each says of itself and holds, and how each has been. */
import { html, useMemo, useState } from "../lib.js";
import { agents } from "../core/data.js";
import { number } from "../core/format.js";
import { route } from "../core/router.js";
import { readable } from "../core/text.js";
import { Choice, Code, Empty, Filtered, Icon, SearchField, SelectField, Status } from "../ui/bits.js";
import { joinCommand } from "../ui/join-commands.js";
import { Drawer } from "./agents/drawer.js";
import { Cards, Table } from "./agents/list.js";
import { chosen, leaving, STATUSES, useFreshAgents, where } from "./agents/state.js";

/** @typedef {import("../core/types.js").Agent} Agent */

const FIELDS = /** @type {const} */ (["status", "ready", "tag", "cap", "label", "project", "q"]);

export function Agents() {
  useFreshAgents();
  const asked = where.read();
  const all = agents.all();
  const shown = useMemo(() => chosen(all, asked), [agents.version.value, leaving.value, JSON.stringify(asked)]);
  const ids = shown.map(({ id }) => id);
  const filtered = FIELDS.some((field) => asked[field] !== undefined);
  const clear = () => where.set(Object.fromEntries(FIELDS.map((field) => [field, undefined])));
  const { id } = route.value;
  const nobody = all.length === 0;
  return html`<header class="bar agents-head"><h1>Agents</h1>
      ${!nobody && html`<span class="quiet">${shown.length === all.length ? number(all.length) : `${number(shown.length)} of ${number(all.length)}`}</span>`}
      <span class="grow"></span>
      ${!nobody && html`<${Choice} label="View" value=${asked.view ?? "cards"} options=${VIEWS} set=${(/** @type {string} */ view) => where.set({ view: view === "cards" ? undefined : view })} />`}
    </header>
    ${nobody ? html`<${Nobody} />` : html`<${Filters} all=${all} asked=${asked} filtered=${filtered} clear=${clear} />`}
    ${!nobody && (ids.length === 0 ? html`<${Filtered} what="agents" clear=${clear} />` : asked.view === "table" ? html`<${Table} ids=${ids} />` : html`<${Cards} ids=${ids} />`)}
    ${id !== "" && html`<${Drawer} key=${id} id=${id} />`}`;
}

const VIEWS = /** @type {const} */ ([
  ["cards", "Cards"],
  ["table", "Table"],
]);

/** @param {{all: Agent[], asked: ReturnType<typeof where.read>, filtered: boolean, clear: () => void}} props */
function Filters({ all, asked, filtered, clear }) {
  const [open, setOpen] = useState(false);
  const further = ["ready", "tag", "cap", "label", "project"].filter(
    (field) => asked[/** @type {"tag"} */ (field)] !== undefined,
  ).length;
  const options = useMemo(() => {
    const of = (
      /** @type {(agent: Agent) => readonly (string | null)[]} */ words,
      /** @type {string | undefined} */ given,
    ) => {
      const found = new Set(all.flatMap(words).filter((word) => word !== null));
      if (given !== undefined) found.add(given);
      return [...found].sort().map((word) => /** @type {const} */ ([word, readable(word)]));
    };
    return {
      tag: of((agent) => agent.tags, asked.tag),
      cap: of((agent) => agent.capabilities, asked.cap),
      label: of((agent) => agent.labels, asked.label),
      project: of((agent) => [agent.project], asked.project),
    };
  }, [agents.version.value, asked.tag, asked.cap, asked.label, asked.project]);
  /** @param {"tag" | "cap" | "label" | "project"} name @param {string} label */
  const field = (name, label) =>
    options[name].length > 0 &&
    html`<${SelectField} label=${label} value=${asked[name]} options=${options[name]} set=${(/** @type {string} */ value) => where.set({ [name]: value || undefined })} />`;
  return html`<div class="agents-filters" role="search" aria-label="Filter the agents">
    <${StatusFilter} all=${all} asked=${asked.status} />
    <${SearchField} label="Find by id, label, project…" value=${asked.q} set=${(/** @type {string} */ q) => where.set({ q: q || undefined }, { replace: true })} main />
    <button type="button" class="button small agents-further" aria-expanded=${open} onClick=${() => setOpen(!open)}>Filters${further > 0 ? ` (${further})` : ""}<${Icon} name="chevron-down" /></button>
    <div class=${`agents-selects${open ? " is-open" : ""}`}>
      <${SelectField} label="Taking work" value=${asked.ready} options=${READY} set=${(/** @type {string} */ ready) => where.set({ ready: ready || undefined })} />
      ${field("project", "Project")}${field("label", "Label")}${field("tag", "Tag")}${field("cap", "Capability")}
      ${filtered && html`<button type="button" class="button small plain" onClick=${clear}><${Icon} name="filter-off" />Clear filters</button>`}
    </div>
  </div>`;
}

const READY = /** @type {const} */ ([
  ["true", "yes"],
  ["false", "no"],
]);

/** How many there are of each status; any of them may be chosen. @param {{all: Agent[], asked: string | undefined}} props */
function StatusFilter({ all, asked }) {
  const chosenNow = asked?.split(",") ?? [];
  const toggle = (/** @type {string} */ status) => {
    const next = STATUSES.filter((other) =>
      other === status ? !chosenNow.includes(other) : chosenNow.includes(other),
    );
    where.set({ status: next.length === 0 ? undefined : next.join(",") });
  };
  return html`<div class="choice status-choice" role="group" aria-label="Status">
    ${STATUSES.map((status) => {
      const count = all.filter((agent) => agent.status === status).length;
      return html`<button key=${status} type="button" aria-pressed=${chosenNow.includes(status)} onClick=${() => toggle(status)}><${Status} status=${status} /> <b>${number(count)}</b></button>`;
    })}
  </div>`;
}

const Nobody = () =>
  html`<${Empty} title="No agent has joined yet" icon="users">
    <p>An agent is whatever registers itself: a session of Claude Code or Codex, or a script. Let one join:</p>
    <${Code} text=${joinCommand()} label="Copy the join command" />
    <p class="quiet" role="status"><span class="pulse" aria-hidden="true"></span> waiting for the first agent…</p>
    <p><a href="/join">All ways to join</a></p>
  </${Empty}>`;
