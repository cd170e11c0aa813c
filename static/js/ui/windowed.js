/**
 * A long list of rows of one height, of which only those in sight (and a few more) are in the document. Up to 200 rows all
 * are: then the browser's own search finds them, and nothing has to be measured.
 */
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib.js";

export const WHOLE = 200;
const AROUND = 12;

/**
 * Which of so many rows of one height are in sight of a box that scrolls.
 * @param {{box: {current: HTMLElement | null}, count: number, row: string, rowPx: number, scrolled?: (top: number) => void, whole?: number}} what `row` selects a row, to be measured; up to `whole` rows all are there
 */
export function useWindow({ box, count, row, rowPx, scrolled, whole = WHOLE }) {
  const [view, setView] = useState({ top: 0, height: 800 });
  const height = useRef(rowPx);
  const many = count > whole;
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    let frame = 0;
    const look = () => {
      frame = 0;
      setView({ top: element.scrollTop, height: element.clientHeight });
      scrolled?.(element.scrollTop);
    };
    const ask = () => void (frame = frame || requestAnimationFrame(look));
    element.addEventListener("scroll", ask, { passive: true });
    const sized = new ResizeObserver(ask);
    sized.observe(element);
    return () => {
      cancelAnimationFrame(frame);
      element.removeEventListener("scroll", ask);
      sized.disconnect();
    };
  }, []);
  useLayoutEffect(() => {
    const measured = box.current?.querySelector(row)?.getBoundingClientRect().height;
    if (measured) height.current = measured;
  });
  const px = height.current;
  const first = many ? Math.min(Math.max(0, Math.floor(view.top / px) - AROUND), count) : 0;
  const last = many ? Math.min(count, Math.ceil((view.top + view.height) / px) + AROUND) : count;
  return { many, px, first, last };
}

/**
 * @template T
 * @param {{items: readonly T[], keyOf: (item: T) => string | number, row: (item: T) => unknown, label: string, rowPx?: number, kind?: string,
 *   scrolled?: (top: number) => void, box?: {current: HTMLElement | null}, whole?: number}} props `row` gives the inside of a list item
 */
export function Windowed({ items, keyOf, row, label, rowPx = 40, kind = "", scrolled, box: given, whole }) {
  const own = useRef(/** @type {HTMLElement | null} */ (null));
  const box = given ?? own;
  const { many, px, first, last } = useWindow({ box, count: items.length, row: "li.row", rowPx, scrolled, whole });
  return html`<div class=${`windowed ${kind}`} ref=${box} tabindex="-1">
    <ul aria-label=${label}>
      ${first > 0 && html`<li class="space" aria-hidden="true" style=${{ height: `${first * px}px` }}></li>`}
      ${items
        .slice(first, last)
        .map(
          (item, index) =>
            html`<li class="row" key=${keyOf(item)} aria-setsize=${many ? items.length : undefined} aria-posinset=${many ? first + index + 1 : undefined}>${row(item)}</li>`,
        )}
      ${last < items.length && html`<li class="space" aria-hidden="true" style=${{ height: `${(items.length - last) * px}px` }}></li>`}
    </ul>
  </div>`;
}

/** The same list as long as nothing in it changes: then nobody need look at it again. @param {readonly number[]} ids */
export function useSame(ids) {
  const before = useRef(ids);
  if (before.current.length !== ids.length || ids.some((id, at) => before.current[at] !== id)) before.current = ids;
  return before.current;
}
