/** Timeline: all that happened to one task or in one thread. */
import { html, useMemo, useRef, useState } from "../lib.js";
import { tasks, useResource } from "../core/data.js";
import { duration, fullTime, plural, secondsOf } from "../core/format.js";
import { address, filters, go, route } from "../core/router.js";
import { firstLine } from "../core/text.js";
import { Choice, Code, Empty, Filtered, Icon, Status, Time, Trouble, Who } from "../ui/bits.js";
import { Windowed } from "../ui/windowed.js";
import { joinCommand } from "../ui/join-commands.js";
import { hrefOf, LANES, signOf, toneOf, whoOf, wordsOf } from "./timeline/entry.js";
import { Lanes } from "./timeline/lanes.js";

/** @typedef {import("./timeline/entry.js").Entry} Entry */
/** @typedef {import("./timeline/entry.js").Timeline} Told */

const where = filters({ gaps: ["kept"], lane: LANES.map(([lane]) => lane) });
const ZOOMS = [1, 2, 4, 8, 16, 32];
const RECENT = 12;
const CHANGES = /^(message|task|callback)\./;

export function Timeline() {
  const { id } = route.value;
  if (id === "") return html`<${Choose} />`;
  if (!/^[1-9]\d{0,18}$/.test(id))
    return html`<${Choose} wrong=${`“${firstLine(id, 40)}” is not the number of a task or message.`} />`;
  return html`<${Of} key=${id} id=${id} />`;
}

/** Asks which one, and offers the most recent. @param {{wrong?: string}} props */
function Choose({ wrong }) {
  const recent = useResource(`/threads?limit=${RECENT}`, { on: /^message\.(new|deleted)$/, everyMs: 2_000 });
  const newest = useMemo(
    () =>
      tasks
        .all()
        .sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1))
        .slice(0, RECENT),
    [tasks.version.value],
  );
  /** @type {import("../core/types.js").Thread[]} */
  const threads = recent.data?.threads ?? [];
  return html`<h1>Timeline</h1>
    <${NumberForm} wrong=${wrong} />
    <${Trouble} error=${recent.error} reload=${recent.reload} />
    ${
      recent.data !== null &&
      threads.length === 0 &&
      newest.length === 0 &&
      html`<${Empty} title="Nothing has happened yet" icon="timeline">
      <p>Each task and each thread has a timeline of its messages, claims, status changes and callbacks. Let the first agent join:</p>
      <${Code} text=${joinCommand()} label="Copy the join command" /></${Empty}>`
    }
    <div class="timeline-recent">
      ${newest.length > 0 && html`<section class="panel" aria-labelledby="recent-tasks"><h2 id="recent-tasks">Recent tasks</h2><ul>${newest.map((task) => html`<li key=${task.id}><${TaskLink} id=${task.id} /></li>`)}</ul></section>`}
      ${
        threads.length > 0 &&
        html`<section class="panel" aria-labelledby="recent-threads"><h2 id="recent-threads">Recent threads</h2><ul>
        ${threads.map(
          (
            thread,
          ) => html`<li key=${thread.id}><a data-row class="recent" href=${address("timeline", thread.id)}><span class="recent-title"><span class="quiet">${thread.id}</span> ${firstLine(thread.subject ?? thread.last.body, 120)}</span>
          <span class="quiet"><${Who} id=${thread.from} link=${false} /> · ${plural(thread.count, "message")} · <${Time} at=${thread.last.createdAt} /></span></a></li>`,
        )}</ul></section>`
      }
    </div>`;
}

/** @param {{id: number}} props */
function TaskLink({ id }) {
  const task = tasks.get(id);
  if (task === undefined) return null;
  return html`<a data-row class="recent" href=${address("timeline", id)}><span class="recent-title"><span class="quiet">${id}</span> ${firstLine(task.title, 120)}</span>
    <span class="quiet"><${Status} status=${task.status} /> · ${firstLine(task.source, 60)} · <${Time} at=${task.updatedAt} /></span></a>`;
}

/** @param {{wrong?: string, value?: string}} props */
function NumberForm({ wrong, value = "" }) {
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("number") ?? "").replace(
      /[#\s]/g,
      "",
    );
    if (given !== "") go(address("timeline", given));
  };
  return html`<form class="bar timeline-form" onSubmit=${submit}>
    <label class="search"><span class="unseen">Number of a task or message</span><${Icon} name="search" /><input name="number" type="search" inputmode="numeric" data-filter autocomplete="off" placeholder="Number of a task or message" defaultValue=${value} /></label>
    <button class="button" type="submit">Show</button>
    ${wrong && html`<p class="trouble" role="alert">${wrong}</p>`}
  </form>`;
}

/** @param {{id: string}} props */
function Of({ id }) {
  const ids = useRef(new Set([Number(id)]));
  const options = {
    on: CHANGES,
    when: (/** @type {any} */ event) => concerns(ids.current, event),
    everyMs: 500,
    pollMs: 30_000,
  };
  // A task has its message's number, and is told with its conversation; only where its message is gone, it is asked for itself.
  const asThread = useResource(`/messages/${id}/timeline`, options);
  const gone = asThread.error?.status === 404;
  const asTask = useResource(gone ? `/tasks/${id}/timeline` : null, options);
  const { data, error, reload } = gone ? asTask : asThread;
  /** @type {Told | null} */
  const told = data;
  const isTask = told !== null && told.entries.some((entry) => entry.lane === "status" && entry.taskId === Number(id));
  if (told !== null)
    for (const entry of told.entries)
      for (const one of [entry.messageId, entry.taskId]) if (one !== null) ids.current.add(one);
  if (told === null && gone && error?.status === 404) {
    return html`<${Choose} wrong=${`There is no task or message ${id}: it may have been deleted, or have aged out.`} />`;
  }
  const task = isTask ? tasks.get(Number(id)) : undefined;
  const first = told?.entries.find((entry) => entry.event === "message.new");
  const title = firstLine(task?.title ?? first?.data.subject ?? (first ? wordsOf(first) : ""), 120);
  return html`<header class="timeline-head"><div><h1>Timeline of ${isTask ? "task" : "thread"} ${id}</h1>
        <p class="timeline-title">${title}${task && html` <${Status} status=${task.status} />`}</p></div>
      <div class="bar"><a class="button small" href=${isTask ? address("tasks", id) : address("threads", first?.messageId ?? id)}>Open the ${isTask ? "task" : "thread"}</a>
        ${isTask && html`<a class="button small" href=${address("threads", id)}>Its thread</a>`}<${NumberForm} value="" /></div></header>
    <${Trouble} error=${error} reload=${reload} />
    ${told !== null && html`<${Moments} told=${told} />`}
    ${told === null && error === null && html`<p class="starting" role="status">Asking the relay…</p>`}`;
}

/** Whether an event is about one of these. @param {Set<number>} ids @param {{data: any}} event */
const concerns = (ids, { data }) => [data.id, data.threadId, data.taskId, data.messageId].some((one) => ids.has(one));

/** @param {{told: Told}} props */
function Moments({ told }) {
  const { gaps, lane: wanted } = where.read();
  const [zoom, setZoom] = useState(1);
  const [lit, setLit] = useState(/** @type {number | null} */ (null));
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const lanes = wanted?.split(",");
  const entries = useMemo(
    () => (lanes === undefined ? told.entries : told.entries.filter((entry) => lanes.includes(entry.lane))),
    [told, wanted],
  );
  const rows = useMemo(
    () =>
      entries.map((entry, index) => ({ entry, index, before: index === 0 ? null : (entries[index - 1]?.at ?? null) })),
    [entries],
  );
  const open = (/** @type {number} */ index) => {
    const list = box.current;
    if (list === null) return;
    // Of a long list, only what is in sight is there: to its place first.
    const height = list.querySelector("li.row")?.getBoundingClientRect().height ?? 40;
    list.scrollTop = index * height - list.clientHeight / 2;
    requestAnimationFrame(() =>
      requestAnimationFrame(() =>
        /** @type {HTMLElement | null} */ (list.querySelector(`[data-moment="${index}"]`))?.focus(),
      ),
    );
  };
  if (told.entries.length === 0)
    return html`<${Empty} title="Nothing is left of it" icon="timeline"><p>Its messages were deleted or have aged out.</p></${Empty}>`;
  const at = ZOOMS.indexOf(zoom);
  const all = told.entries;
  const lasted = (Date.parse(all.at(-1)?.at ?? "") - Date.parse(all[0]?.at ?? "")) / 1000;
  const row = (/** @type {typeof rows[number]} */ one) =>
    html`<${Moment} one=${one} lit=${one.index === lit} point=${setLit} />`;
  return html`<section class="panel lanes-panel" aria-label="Lanes">
      <div class="panel-head">
        <${Choice} label="Pauses" value=${gaps ?? "short"} options=${[
          ["short", "Pauses shortened"],
          ["kept", "True to time"],
        ]} set=${(/** @type {string} */ value) => where.set({ gaps: value === "kept" ? value : undefined })} />
        <div class="choice" role="group" aria-label="Lanes shown">${LANES.filter(([lane]) => all.some((entry) => entry.lane === lane)).map(([lane, name]) => html`<button key=${lane} type="button" aria-pressed=${lanes === undefined || lanes.includes(lane)} onClick=${() => toggle(lanes, lane, all)}>${name}</button>`)}</div>
        <span class="grow"></span>
        <div class="zooms" role="group" aria-label="Zoom">
          <button type="button" class="button small" aria-label="Zoom out" title="Zoom out" disabled=${at === 0} onClick=${() => setZoom(ZOOMS[at - 1] ?? 1)}>−</button>
          <button type="button" class="button small" disabled=${at === 0} onClick=${() => setZoom(1)}>All</button>
          <button type="button" class="button small" aria-label="Zoom in" title="Zoom in" disabled=${at === ZOOMS.length - 1} onClick=${() => setZoom(ZOOMS[at + 1] ?? 1)}>+</button>
        </div>
      </div>
      ${entries.length > 0 && html`<${Lanes} entries=${entries} zoom=${zoom} shorten=${gaps !== "kept"} lit=${lit} point=${setLit} open=${open} />`}
    </section>
    <section class="panel told" aria-labelledby="moments-title">
      <div class="panel-head"><h2 id="moments-title">${plural(entries.length, "moment")}</h2><span class="quiet">in ${duration(Math.max(0, lasted))}</span>
        ${told.truncated && html`<span class="grow"></span><span class="quiet">There is more than is shown: these are the oldest ${all.length}.</span>`}</div>
      ${entries.length === 0 ? html`<${Filtered} what="moments" clear=${() => where.set({ lane: undefined })} />` : html`<${Windowed} box=${box} kind="told-list" label="Moments, oldest first" items=${rows} keyOf=${(/** @type {typeof rows[number]} */ one) => one.index} rowPx=${36} row=${row} />`}
    </section>`;
}

/** Show or hide a lane; none hidden is no filter. @param {string[] | undefined} lanes @param {string} lane @param {Entry[]} all */
function toggle(lanes, lane, all) {
  const there = /** @type {string[]} */ (
    LANES.map(([name]) => name).filter((name) => all.some((entry) => entry.lane === name))
  );
  const shown = lanes ?? there;
  const next = there.filter((name) => (name === lane ? !shown.includes(name) : shown.includes(name)));
  where.set(
    { lane: next.length === there.length || next.length === 0 ? undefined : next.join(",") },
    { replace: true },
  );
}

/** @param {{one: {entry: Entry, index: number, before: string | null}, lit: boolean, point: (index: number | null) => void}} props */
function Moment({ one: { entry, index, before }, lit, point }) {
  const [icon, word] = signOf(entry);
  const since = before === null ? null : (Date.parse(entry.at) - Date.parse(before)) / 1000;
  return html`<a data-row data-moment=${index} class=${`told-line of-${entry.lane} ${toneOf(entry)}${lit ? " is-lit" : ""}`} href=${hrefOf(entry)} onFocus=${() => point(index)} onMouseEnter=${() => point(index)} onMouseLeave=${() => point(null)}>
    <time datetime=${entry.at} title=${fullTime(entry.at)}>${secondsOf(entry.at)}</time>
    <span class="told-since quiet">${since !== null && since >= 0.001 ? `+${duration(since)}` : ""}</span>
    <span class="told-sign"><${Icon} name=${icon} /></span>
    <${Who} id=${whoOf(entry)} link=${false} />
    ${entry.event === "message.new" && html`<span class="quiet">to</span> <${Who} id=${entry.to ?? ""} link=${false} />`}
    <span class="told-text">${entry.event === "claim.lost" ? html`<b>${word}</b> of message ${entry.messageId}: <${Who} id=${entry.to ?? ""} link=${false} /> held it` : wordsOf(entry)}</span></a>`;
}
