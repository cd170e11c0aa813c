/** Tasks: as a board or a table, and one of them beside it. */
import { html, useState } from "../lib.js";
import { tasks, useResource } from "../core/data.js";
import { useSettled } from "../core/pages.js";
import { route } from "../core/router.js";
import { readable } from "../core/text.js";
import { Choice, Code, Empty, Icon, SearchField, SelectField, wordOf } from "../ui/bits.js";
import { addCommand, eventCommand } from "./integrations/commands.js";
import { Board } from "./tasks/board.js";
import { Detail } from "./tasks/detail.js";
import { clearFilters, isFiltered, SEVERITIES, STATUSES, useOptions, where } from "./tasks/list.js";
import { Table } from "./tasks/table.js";

/** @typedef {import("./tasks/list.js").Filter} Filter */

const VIEWS = /** @type {const} */ ([
  ["board", "Board"],
  ["table", "Table"],
]);

export function Tasks() {
  const filter = where.read();
  const { id } = route.value;
  const q = useSettled(filter.q);
  const none = tasks.size === 0 && !isFiltered(filter);
  return html`${none ? html`<h1>Tasks</h1>` : html`<${Filters} filter=${filter} />`}
    ${none ? html`<${NoTasks} />` : filter.view === "table" ? html`<${Table} filter=${filter} q=${q} />` : html`<${Board} filter=${filter} q=${q} />`}
    ${id !== "" && html`<${Detail} key=${id} id=${id} />`}`;
}

const ACTIVE_ONES = STATUSES.slice(0, 4).join(",");
const CLOSED_ONES = STATUSES.slice(4).join(",");

/** @param {{filter: Filter}} props */
function Filters({ filter }) {
  const [shown, setShown] = useState(false);
  const filtered = isFiltered(filter);
  const set = (/** @type {keyof Filter} */ name) => (/** @type {string} */ value) =>
    where.set({ [name]: value || undefined });
  /** @type {[string, string][]} */
  const statuses = [
    [ACTIVE_ONES, "active"],
    [CLOSED_ONES, "closed"],
    ...STATUSES.map((status) => /** @type {[string, string]} */ ([status, wordOf(status)])),
  ];
  if (filter.status !== undefined && !statuses.some(([value]) => value === filter.status))
    statuses.push([filter.status, filter.status.split(",").map(wordOf).join(", ")]);
  const options = (/** @type {"source" | "target" | "claimedBy"} */ field) =>
    useOptions(field, filter[field]).map((value) => [value, readable(value)]);
  return html`<div class="bar task-bar">
    <h1>Tasks</h1>
    <${SearchField} label="Search the text" value=${filter.q} set=${(/** @type {string} */ q) => where.set({ q: q || undefined }, { replace: true })} main />
    <button type="button" class="button narrow-only" aria-expanded=${shown} aria-controls="task-filters" onClick=${() => setShown(!shown)}>Filters</button>
    ${filtered && html`<button type="button" class="button small plain" onClick=${clearFilters}><${Icon} name="filter-off" />Clear filters</button>`}
    <span class="grow"></span>
    <${Choice} label="View" value=${filter.view ?? "board"} options=${VIEWS} set=${(/** @type {string} */ view) => where.set({ view: view === "board" ? undefined : view })} />
    <div id="task-filters" class=${`bar task-filters ${shown ? "is-shown" : ""}`} role="group" aria-label="Filters">
      <${SelectField} label="Status" value=${filter.status} options=${statuses} set=${set("status")} />
      <${SelectField} label="Severity" value=${filter.severity} options=${SEVERITIES.map((severity) => [severity, severity])} set=${set("severity")} />
      <${SelectField} label="Source" value=${filter.source} options=${options("source")} set=${set("source")} />
      <${SelectField} label="Target" value=${filter.target} options=${options("target")} set=${set("target")} />
      <${SelectField} label="Claimed by" value=${filter.claimedBy} options=${options("claimedBy")} set=${set("claimedBy")} />
    </div>
  </div>`;
}

/** No task at all, not even a closed one: how to make one. */
function NoTasks() {
  const { data } = useResource("/integrations");
  /** @type {import("./integrations/parts.js").Integration[]} */
  const all = data?.integrations ?? [];
  const maker = all.find(({ scopes }) => scopes.includes("tasks:create") || scopes.includes("*"));
  return html`<${Empty} title="No tasks yet" icon="checklist">
    <p>A task begins with an event of an integration: a build that fails, a service that is down. An agent that its target reaches claims it.</p>
    ${maker === undefined && html`<p>Make an integration, on the relay’s machine; it prints a token:</p><${Code} text=${addCommand()} label="Copy the command that adds an integration" />`}
    <p>${maker === undefined ? "Then let it say that something is:" : html`<b>${readable(maker.name)}</b> is there already. With its token, let it say that something is:`}</p>
    <${Code} text=${eventCommand(maker)} label="Copy the command that makes a task" />
    <p class="quiet" role="status"><span class="pulse" aria-hidden="true"></span> waiting for the first task…</p>
  </${Empty}>`;
}
