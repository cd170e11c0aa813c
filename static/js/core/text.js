/**
 * Text that others wrote, made safe to look at. It never becomes markup: htm puts it in as text. What is left to do is what
 * text alone can do to a reader: reorder what stands beside it, colour a terminal, hide, or run on for ever.
 */

/** ANSI escape sequences (ECMA-48): CSI, OSC, and the two-character ones. */
// eslint-disable-next-line no-control-regex
const ANSI = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
/** What has no shape, or changes the direction of what follows (UAX 9), and control characters but tab and newline. */
// eslint-disable-next-line no-control-regex
const UNSEEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udfff]/g;
const NAMES = /** @type {Record<string, string>} */ ({
  "\u200b": "ZWSP",
  "\u200e": "LRM",
  "\u200f": "RLM",
  "\u202a": "LRE",
  "\u202b": "RLE",
  "\u202c": "PDF",
  "\u202d": "LRO",
  "\u202e": "RLO",
  "\u2066": "LRI",
  "\u2067": "RLI",
  "\u2068": "FSI",
  "\u2069": "PDI",
  "\ufeff": "BOM",
});
/** Joins emoji and letters of some scripts; there it is meant. */
const JOINERS = /(?<=[\p{L}\p{M}\p{Emoji}\ufe0f])[\u200c\u200d](?=[\p{L}\p{M}\p{Emoji}])/gu;

/** Text in which everything that cannot be seen is named, colours of terminals are gone, and nothing reorders. @param {string} text */
export function readable(text) {
  const kept = text.replace(/\r\n?/g, "\n").replace(ANSI, "");
  if (kept.search(UNSEEN) < 0) return kept;
  const joiners = new Set(Array.from(kept.matchAll(JOINERS), (match) => match.index));
  return kept.replace(UNSEEN, (found, at) => (joiners.has(at) ? found : `⟨${nameOf(found)}⟩`));
}

/** @param {string} found */
function nameOf(found) {
  const code = /** @type {number} */ (found.codePointAt(0));
  return NAMES[found] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** The first line of a text that says something, in at most so many characters. @param {string | null} text @param {number} [most] */
export function firstLine(text, most = 160) {
  const lines = readable((text ?? "").slice(0, most * 4)).split("\n");
  const line = (lines.find((each) => each.trim() !== "" && !/^\s*(`{3}|~{3})/.test(each)) ?? "").trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
}

/** @typedef {{kind: "text" | "code", text: string, language?: string}} Block */

/** A body as paragraphs and fenced code. @param {string} body @returns {Block[]} */
export function blocksOf(body) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {string[]} */
  let lines = [];
  /** @type {{fence: string, language: string} | null} */
  let code = null;
  const close = () => {
    const text = lines.join("\n");
    if (code !== null) blocks.push({ kind: "code", text, language: code.language });
    else if (text.trim() !== "") blocks.push({ kind: "text", text: text.replace(/^\n+/, "").trimEnd() });
    lines = [];
  };
  for (const line of readable(body).split("\n")) {
    // Ends that a pattern would look for (`\s*$`) are looked for anew from every space before them: a minute, in a line of spaces.
    const fence = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)$/.exec(line.trimEnd());
    if (code === null && fence) {
      close();
      code = { fence: fence[1] ?? "", language: fence[2] ?? "" };
    } else if (code !== null && fence && fence[2] === "" && (fence[1] ?? "").startsWith(code.fence)) {
      close();
      code = null;
    } else lines.push(line);
  }
  close();
  return blocks;
}

/** @typedef {{kind: "text" | "link" | "code", text: string}} Span */

/** Links (http and https alone) and `code` within a paragraph. @param {string} text @returns {Span[]} */
export function spansOf(text) {
  /** @type {Span[]} */
  const spans = [];
  let at = 0;
  for (const match of text.matchAll(/`([^`\n]+)`|https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}]/g)) {
    if (match.index > at) spans.push({ kind: "text", text: text.slice(at, match.index) });
    if (match[1] !== undefined) spans.push({ kind: "code", text: match[1] });
    else spans.push({ kind: "link", text: match[0] });
    at = match.index + match[0].length;
  }
  if (at < text.length) spans.push({ kind: "text", text: text.slice(at) });
  return spans;
}

/** An address that may be followed, or null: http and https alone. @param {string | null} address */
export function safeLink(address) {
  if (address === null) return null;
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
