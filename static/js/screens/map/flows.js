/** Who wrote to whom, brought into an order and a size that can be looked at. */

/** @typedef {{from: string, to: string, messages: number}} Cell */
/** @typedef {{cells: Cell[], truncated: boolean, buckets: {at: string, messages: number}[], bucketS: number}} Traffic */
/** @typedef {{id: string, total: number, rest: number}} Line one row or column; `rest` says of how many it is the sum */
/** @typedef {{rows: Line[], columns: Line[], count: (row: Line, column: Line) => number, most: number, total: number}} Flows */

/** Rows and columns; what is beyond them is summed. */
export const MOST = 40;
const REST = "\0rest";

/** What a target is, in the order in which columns stand. @param {string} id */
export function kindOf(id) {
  if (id === "human" || id === "system") return "person";
  if (id === "broadcast") return "all";
  return id.includes(":") ? "group" : "agent";
}
const ORDER = ["person", "all", "group", "agent"];

/**
 * @param {readonly Cell[]} cells
 * @param {string} wanted part of a name: whatever has it at either end
 * @returns {Flows}
 */
export function fold(cells, wanted) {
  const part = wanted.trim().toLowerCase();
  const used =
    part === ""
      ? cells
      : cells.filter(({ from, to }) => from.toLowerCase().includes(part) || to.toLowerCase().includes(part));
  const senders = busiest(used, "from");
  const targets = busiest(used, "to");
  /** @type {Map<string, number>} */
  const counts = new Map();
  let total = 0;
  for (const { from, to, messages } of used) {
    const key = `${senders.has(from) ? from : REST}\n${targets.has(to) ? to : REST}`;
    counts.set(key, (counts.get(key) ?? 0) + messages);
    total += messages;
  }
  const rows = [...senders.values()].sort((a, b) => a.rest - b.rest || b.total - a.total || (a.id < b.id ? -1 : 1));
  // Agents stand in the order of the rows, so that both directions of a pair lie across the diagonal.
  const place = new Map(rows.map((row, index) => [row.id, index]));
  const columns = [...targets.values()].sort(
    (a, b) =>
      Math.sign(a.rest) - Math.sign(b.rest) ||
      ORDER.indexOf(kindOf(a.id)) - ORDER.indexOf(kindOf(b.id)) ||
      (kindOf(a.id) === "agent" ? (place.get(a.id) ?? MOST) - (place.get(b.id) ?? MOST) : 0) ||
      (a.id < b.id ? -1 : 1),
  );
  let most = 1;
  for (const [key, value] of counts) if (!key.includes(REST)) most = Math.max(most, value);
  return { rows, columns, count: (row, column) => counts.get(`${row.id}\n${column.id}`) ?? 0, most, total };
}

/** @param {readonly Cell[]} cells @param {"from" | "to"} side @returns {Map<string, Line>} */
function busiest(cells, side) {
  /** @type {Map<string, number>} */
  const totals = new Map();
  for (const cell of cells) totals.set(cell[side], (totals.get(cell[side]) ?? 0) + cell.messages);
  const sorted = [...totals].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const kept = sorted.length > MOST ? sorted.slice(0, MOST - 1) : sorted;
  const lines = new Map(kept.map(([id, total]) => [id, { id, total, rest: 0 }]));
  const beyond = sorted.slice(kept.length);
  if (beyond.length > 0)
    lines.set(REST, { id: REST, total: beyond.reduce((sum, [, total]) => sum + total, 0), rest: beyond.length });
  return lines;
}

/** @typedef {{at: number, until: number, messages: number}} Bin */
const BINS = 120;

/**
 * Bars over the whole of a time, none left out, at most so many.
 * @param {Traffic} traffic @param {number | null} since ms; null: since the first message @param {number} now ms
 * @returns {Bin[]}
 */
export function binsOf({ buckets, bucketS }, since, now) {
  const step = bucketS * 1000;
  const first = since ?? new Date(buckets[0]?.at ?? now).getTime();
  const begin = first - (first % step);
  const each = step * Math.max(1, Math.ceil((now - begin) / step / BINS));
  const bins = Array.from({ length: Math.max(1, Math.ceil((now - begin) / each)) }, (_, index) => ({
    at: begin + index * each,
    until: begin + (index + 1) * each,
    messages: 0,
  }));
  for (const { at, messages } of buckets) {
    const bin = bins[Math.floor((new Date(at).getTime() - begin) / each)];
    if (bin !== undefined) bin.messages += messages;
  }
  return bins;
}
