/**
 * Everything that the keyboard can do, in one table: the palette lists it, the sheet explains it, the handler runs it.
 * Keys are one key, or two after one another (`g a`); `Mod+` is Ctrl, or Cmd on a Mac.
 */
import { signal } from "../lib.js";
import { go } from "./router.js";
import { retryNow } from "./live.js";
import { composing } from "../ui/composer.js";

/** @typedef {{id: string, title: string, keys?: string, group: "Go to" | "Do" | "Move", icon?: string, run: (event?: KeyboardEvent) => void}} Command */

/** What is open over the page. */
export const overlay = signal(/** @type {"palette" | "sheet" | null} */ (null));

/** The screens: path, name, key, icon. In the order of the navigation. */
export const SCREENS = /** @type {const} */ ([
  ["now", "Now", "n", "activity"],
  ["agents", "Agents", "a", "users"],
  ["threads", "Threads", "t", "messages"],
  ["tasks", "Tasks", "k", "checklist"],
  ["map", "Map", "m", "arrows-exchange"],
  ["timeline", "Timeline", "l", "timeline"],
  ["integrations", "Integrations", "i", "webhook"],
  ["join", "Join", "j", "plug-connected"],
  ["system", "System", "s", "server-2"],
]);

/** @type {readonly Command[]} */
export const commands = [
  ...SCREENS.map(
    ([screen, name, key, icon]) =>
      /** @type {Command} */ ({
        id: `go-${screen}`,
        title: name,
        keys: `g ${key}`,
        group: "Go to",
        icon,
        run: () => go(screen === "now" ? "/" : `/${screen}`),
      }),
  ),
  {
    id: "palette",
    title: "Find or do anything",
    keys: "Mod+k",
    group: "Do",
    icon: "search",
    run: () => (overlay.value = overlay.value === "palette" ? null : "palette"),
  },
  {
    id: "compose",
    title: "Write a message",
    keys: "c",
    group: "Do",
    icon: "pencil",
    run: () => (composing.value = { to: "" }),
  },
  { id: "filter", title: "Filter this list", keys: "/", group: "Do", icon: "search", run: focusFilter },
  {
    id: "sheet",
    title: "Show the keys",
    keys: "?",
    group: "Do",
    icon: "keyboard",
    run: () => (overlay.value = "sheet"),
  },
  { id: "theme", title: "Switch between automatic, light and dark", group: "Do", icon: "contrast", run: nextTheme },
  { id: "retry", title: "Connect again now", group: "Do", icon: "refresh", run: retryNow },
  { id: "next", title: "Next row", keys: "j", group: "Move", run: () => step(1) },
  { id: "previous", title: "Previous row", keys: "k", group: "Move", run: () => step(-1) },
  { id: "open", title: "Open the row", keys: "Enter", group: "Move", run: () => {} },
  { id: "close", title: "Close what is open, or leave the field", keys: "Escape", group: "Move", run: leave },
];

function focusFilter() {
  const field = document.querySelector("main [data-filter]");
  if (field instanceof HTMLElement) field.focus();
  else overlay.value = "palette";
}

/** To the next row of what is shown. @param {1 | -1} by */
function step(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("main [data-row]")]).filter(
    (row) => row.offsetParent !== null,
  );
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const to = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
  to?.focus();
  to?.scrollIntoView({ block: "nearest" });
}

/** Esc, where no dialog takes it: out of a field, then out of what is open beside the list. */
function leave() {
  if (isField(document.activeElement)) /** @type {HTMLElement} */ (document.activeElement).blur();
  else /** @type {HTMLElement | null} */ (document.querySelector("main [data-close]"))?.click();
}

/** @param {Element | null} element */
const isField = (element) =>
  element !== null &&
  (element.matches("input, textarea, select") || /** @type {HTMLElement} */ (element).isContentEditable);

export const theme = signal(document.documentElement.dataset.theme ?? "auto");
export function nextTheme() {
  setTheme(theme.value === "auto" ? "light" : theme.value === "light" ? "dark" : "auto");
}
/** @param {string} value */
export function setTheme(value) {
  theme.value = value;
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  try {
    localStorage.setItem("agent-relay-theme", value);
  } catch {
    // Storage may be switched off: then it lasts as long as the page.
  }
}

let first = "";
let firstAt = 0;
const SECOND_KEY_MS = 1_200;

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.defaultPrevented || event.isComposing) return;
  const mod = event.ctrlKey || event.metaKey;
  const key = `${mod ? "Mod+" : ""}${event.key.length === 1 && mod ? event.key.toLowerCase() : event.key}`;
  const inDialog = document.querySelector("dialog[open]") !== null;
  if (event.altKey || (isField(document.activeElement) && !mod && event.key !== "Escape")) return;
  if (inDialog && key !== "Mod+k") return; // it is the dialog's own
  const both = event.timeStamp - firstAt < SECOND_KEY_MS ? `${first} ${key}` : "";
  const found = commands.find((command) => command.keys === both) ?? commands.find((command) => command.keys === key);
  first = key;
  firstAt = event.timeStamp;
  if (found === undefined || found.id === "open") return;
  if (found.keys === both) firstAt = 0;
  event.preventDefault();
  found.run(event);
}

export const listenToKeys = () => addEventListener("keydown", onKey);
