/** Which rows of a long list are on show, and where they stand. Does nothing on import. */

/**
 * A line of the list: the day of what follows, or a job, with how many it stands for.
 * @typedef {{ key: string, day: number, job?: undefined } | { key: string, day: number, job: import("../types").Job, times: number }} Row
 */

/**
 * The tops of all rows in pixels, and behind them the height of all.
 * @param {number[]} heights
 */
export function topsOf(heights) {
  const tops = new Float64Array(heights.length + 1);
  heights.forEach((height, at) => (tops[at + 1] = /** @type {number} */ (tops[at]) + height));
  return tops;
}

/**
 * The first row that touches what is on show, and the one behind the last, with a margin on both sides.
 * @param {Float64Array} tops
 * @param {number} scrolled pixels
 * @param {number} height pixels on show
 * @param {number} margin pixels
 * @returns {[first: number, end: number]}
 */
export function shownRange(tops, scrolled, height, margin) {
  const count = tops.length - 1;
  const first = Math.max(rowAt(tops, scrolled - margin), 0);
  return [first, Math.min(rowAt(tops, scrolled + height + margin) + 1, count)];
}

/**
 * The last row that begins at or above a height; -1 above all.
 * @param {Float64Array} tops
 * @param {number} height
 */
function rowAt(tops, height) {
  let [low, high] = [0, tops.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {number} */ (tops[middle]) <= height) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Where to scroll to so that a row is seen whole, from where it is now.
 * @param {Float64Array} tops
 * @param {number} row
 * @param {number} scrolled
 * @param {number} height
 * @param {number} [covered] pixels at the top that something lies on
 */
export function scrollToShow(tops, row, scrolled, height, covered = 0) {
  const [top, end] = [tops[row] ?? 0, tops[row + 1] ?? 0];
  if (top < scrolled + covered) return Math.max(0, top - covered);
  return end > scrolled + height ? end - height : scrolled;
}
