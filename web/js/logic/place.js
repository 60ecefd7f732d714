/** Where a new node goes. Does nothing on import. */

/** @typedef {[left: number, top: number, width: number, height: number]} Box On the canvas. */
/** @typedef {[x: number, y: number]} Point */
/** @typedef {[width: number, height: number]} Size */

const GAP = 30;
const STEP = 60;

/**
 * The place nearest to the middle of the visible area where a node of this size covers no other.
 * @param {Box} area
 * @param {Size} size
 * @param {Box[]} boxes
 * @returns {Point}
 */
export function freePlace(area, [width, height], boxes) {
  /** @type {Point} */
  const middle = [area[0] + (area[2] - width) / 2, area[1] + (area[3] - height) / 2];
  /** @param {Point} place */
  const isFree = ([left, top]) => !boxes.some((box) => overlap([left, top, width, height], box));
  return placesAround(middle, area, [width, height]).find(isFree) ?? rightOfAll(middle, boxes);
}

/**
 * Places all over the area, those in the middle first.
 * @param {Point} middle
 * @param {Box} area
 * @param {Size} size
 * @returns {Point[]}
 */
function placesAround([left, top], area, [width, height]) {
  const across = steps(left, area[0] + GAP, area[0] + area[2] - width - GAP);
  const down = steps(top, area[1] + GAP, area[1] + area[3] - height - GAP);
  /** @param {Point} place */
  const distance = ([x, y]) => Math.hypot(x - left, y - top);
  const places = across.flatMap((x) => down.map((y) => /** @type {Point} */ ([x, y])));
  return places.sort((a, b) => distance(a) - distance(b));
}

/**
 * @param {number} middle
 * @param {number} first
 * @param {number} last
 */
function steps(middle, first, last) {
  const found = [middle];
  for (let at = middle - STEP; at >= first; at -= STEP) found.push(at);
  for (let at = middle + STEP; at <= last; at += STEP) found.push(at);
  return found;
}

/**
 * @param {Point} middle
 * @param {Box[]} boxes
 * @returns {Point}
 */
function rightOfAll([, top], boxes) {
  return [Math.max(...boxes.map(([left, , width]) => left + width)) + GAP, top];
}

/**
 * Whether two boxes overlap, or are nearer to each other than the gap.
 * @param {Box} a
 * @param {Box} b
 */
function overlap([left, top, width, height], [otherLeft, otherTop, otherWidth, otherHeight]) {
  return (
    left + width + GAP > otherLeft &&
    otherLeft + otherWidth + GAP > left &&
    top + height + GAP > otherTop &&
    otherTop + otherHeight + GAP > top
  );
}
