/** Where a new node goes. Boxes are [left, top, width, height] on the canvas. Does nothing on import. */

const GAP = 30;
const STEP = 60;

/** The place nearest to the middle of the view where a node of this size covers no other. */
export function freePlace(view, [width, height], boxes) {
  const middle = [view[0] + (view[2] - width) / 2, view[1] + (view[3] - height) / 2];
  const isFree = ([left, top]) => !boxes.some((box) => overlap([left, top, width, height], box));
  return placesAround(middle, view, [width, height]).find(isFree) ?? besideAll(middle, boxes);
}

/** Places all over the view, those in the middle first. */
function placesAround([left, top], view, [width, height]) {
  const across = steps(left, view[0] + GAP, view[0] + view[2] - width - GAP);
  const down = steps(top, view[1] + GAP, view[1] + view[3] - height - GAP);
  const distance = ([x, y]) => Math.hypot(x - left, y - top);
  return across.flatMap((x) => down.map((y) => [x, y])).sort((a, b) => distance(a) - distance(b));
}

function steps(middle, first, last) {
  const found = [middle];
  for (let at = middle - STEP; at >= first; at -= STEP) found.push(at);
  for (let at = middle + STEP; at <= last; at += STEP) found.push(at);
  return found;
}

function besideAll([, top], boxes) {
  return [Math.max(...boxes.map(([left, , width]) => left + width)) + GAP, top];
}

function overlap(a, b) {
  const apart = (at) => a[at] + a[at + 2] + GAP <= b[at] || b[at] + b[at + 2] + GAP <= a[at];
  return !apart(0) && !apart(1);
}
