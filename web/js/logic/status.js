/** How high the text below a running node must be to show all of it, or its first lines. */

const [LINE, FRAME, LEAST, MOST] = [16, 26, 58, 154];
const CHARACTER = 6.5;
const WIDE = /[\u2e80-\uffef]/g; // as wide as two

/** Pixels for a text on a node of a width, between ComfyUI's own and eight lines. */
export function statusHeight(text, width) {
  const most = Math.max(1, Math.floor((width - FRAME) / CHARACTER));
  const length = (line) => line.length + (line.match(WIDE)?.length ?? 0);
  const lines = String(text).split("\n").map((line) => Math.max(1, Math.ceil(length(line) / most)));
  return Math.min(MOST, Math.max(LEAST, FRAME + LINE * lines.reduce((sum, each) => sum + each, 0)));
}
