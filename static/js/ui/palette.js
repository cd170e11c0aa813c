/** The palette (go to, find, act) and the sheet of keys: both read the table of commands. */
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { commands, overlay } from "../core/commands.js";
import { agents, tasks } from "../core/data.js";
import { get } from "../core/api.js";
import { address, go } from "../core/router.js";
import { firstLine } from "../core/text.js";
import { composing } from "./composer.js";
import { Icon, Keys } from "./bits.js";
import { Dialog } from "./dialog.js";

/** @typedef {{id: string, title: string, hint: string, icon: string, keys?: string, run: () => void}} Entry */

const MOST = 12;

export function Palette() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [found, setFound] = useState(/** @type {Entry[]} */ ([]));
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const near = useMemo(() => here(text), [text, agents.version.value, tasks.version.value]);
  useEffect(() => {
    const wanted = text.trim();
    if (wanted.length < 2) return;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { messages } = await get(`/messages?limit=6&q=${encodeURIComponent(wanted)}`, { signal: stop.signal });
        setFound(messages.map(messageEntry));
      } catch {
        // A search that fails while one types finds nothing; what is on the page is found all the same.
      }
    }, 150);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
  const entries = [...near, ...found];
  const run = (/** @type {Entry | undefined} */ entry) => {
    if (entry === undefined) return;
    overlay.value = null;
    entry.run();
  };
  // At once, not in an effect: an arrow key may come before that.
  const type = (/** @type {any} */ event) => {
    setText(event.target.value);
    setAt(0);
    setFound([]);
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    const moves = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 });
    const by = moves[event.key];
    if (by !== undefined) {
      event.preventDefault();
      const to = (at + by + entries.length) % Math.max(1, entries.length);
      setAt(to);
      list.current?.children[to]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(entries[at]);
    }
  };
  return html`<${Dialog} title="Find or do anything" kind="palette" close=${() => (overlay.value = null)}>
    <input class="palette-field" type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-label="Find or do anything"
      aria-activedescendant=${entries.length ? `palette-${at}` : undefined} autocomplete="off" spellcheck=${false} autofocus value=${text}
      placeholder="An agent, a number, words of a message, or what to do" onInput=${type} onKeyDown=${key} />
    <ul id="palette-list" role="listbox" aria-label="Found" ref=${list}>
      ${entries.map(
        (
          entry,
          index,
        ) => html`<li id=${`palette-${index}`} key=${entry.id} role="option" aria-selected=${index === at} onClick=${() => run(entry)} onMouseMove=${() => index !== at && setAt(index)}>
          <${Icon} name=${entry.icon} /><span class="palette-title">${entry.title}</span><span class="quiet">${entry.hint}</span>${entry.keys && html`<${Keys} keys=${entry.keys} />`}
        </li>`,
      )}
    </ul>
    ${entries.length === 0 && html`<p class="quiet palette-none" role="status">Nothing by that name, number or text.</p>`}
  </${Dialog}>`;
}

/** What the page itself knows: by number, then commands, agents, tasks. @param {string} text @returns {Entry[]} */
function here(text) {
  const wanted = text.trim().toLowerCase();
  const words = wanted.split(/\s+/).filter(Boolean);
  const fits = (/** @type {string} */ candidate) => words.every((word) => candidate.toLowerCase().includes(word));
  /** @type {Entry[]} */
  const entries = [];
  const number = /^#?(\d{1,19})$/.exec(wanted)?.[1];
  if (number !== undefined) {
    entries.push({
      id: `message-${number}`,
      title: `Message ${number}`,
      hint: "open its thread",
      icon: "messages",
      run: () => go(address("threads", number)),
    });
    entries.push({
      id: `task-${number}`,
      title: `Task ${number}`,
      hint: "open it",
      icon: "checklist",
      run: () => go(address("tasks", number)),
    });
    entries.push({
      id: `timeline-${number}`,
      title: `Timeline of ${number}`,
      hint: "all that happened",
      icon: "timeline",
      run: () => go(address("timeline", number)),
    });
  }
  for (const command of commands) {
    if (command.group === "Move" || !fits(`${command.group} ${command.title}`)) continue;
    entries.push({
      id: command.id,
      title: command.title,
      hint: command.group === "Go to" ? "go to" : "",
      icon: command.icon ?? "chevron-right",
      keys: command.keys,
      run: () => command.run(),
    });
  }
  if (wanted === "") return entries;
  let left = MOST;
  for (const agent of agents.all()) {
    if (left === 0) break;
    if (!fits([agent.id, ...agent.labels, agent.project ?? ""].join(" "))) continue;
    left -= 1;
    entries.push({
      id: `agent-${agent.id}`,
      title: agent.id,
      hint: `agent, ${agent.status}`,
      icon: "robot",
      run: () => go(address("agents", agent.id)),
    });
    if (words.length && left > MOST - 3)
      entries.push({
        id: `write-${agent.id}`,
        title: `Write to ${agent.id}`,
        hint: "message",
        icon: "pencil",
        run: () => (composing.value = { to: agent.id }),
      });
  }
  left = MOST;
  for (const task of tasks.all()) {
    if (left === 0) break;
    if (!fits(`${task.id} ${task.title} ${task.source}`)) continue;
    left -= 1;
    entries.push({
      id: `known-task-${task.id}`,
      title: firstLine(task.title, 80),
      hint: `task ${task.id}, ${task.status.replace("_", " ")}`,
      icon: "checklist",
      run: () => go(address("tasks", task.id)),
    });
  }
  return entries;
}

/** @param {import("../core/types.js").Message} message @returns {Entry} */
function messageEntry(message) {
  return {
    id: `found-${message.id}`,
    title: firstLine(message.subject ?? message.body, 80),
    hint: `message ${message.id} from ${message.from}`,
    icon: "message-2",
    run: () => go(address("threads", message.threadId, { at: String(message.id) })),
  };
}

/** What the keyboard does. */
export function Sheet() {
  return html`<${Dialog} title="Keys" kind="sheet" close=${() => (overlay.value = null)}>
    <div class="sheet-groups">
      ${["Go to", "Do", "Move"].map(
        (group) => html`<section><h3>${group}</h3><dl>
          ${commands
            .filter((command) => command.group === group && command.keys)
            .map((command) => html`<div><dt><${Keys} keys=${command.keys} /></dt><dd>${command.title}</dd></div>`)}
        </dl></section>`,
      )}
    </div>
  </${Dialog}>`;
}
