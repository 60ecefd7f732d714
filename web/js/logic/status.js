/** How high the text below a running node must be to show all of it, or its first lines. */

const [LINE_HEIGHT, FRAME, LEAST, MOST] = [16, 26, 58, 154];
const CHARACTER_WIDTH = 6.5;
const WIDE_CHARACTERS = /[\u2e80-\uffef]/g; // as wide as two

/**
 * Pixels for a text on a node of a width, between what ComfyUI gives and eight lines.
 * @param {string} text
 * @param {number} width
 */
export function statusHeight(text, width) {
  const perLine = Math.max(1, Math.floor((width - FRAME) / CHARACTER_WIDTH));
  let lines = 0;
  for (const line of text.split("\n")) {
    const length = line.length + (line.match(WIDE_CHARACTERS)?.length ?? 0);
    lines += Math.max(1, Math.ceil(length / perLine));
  }
  return Math.min(MOST, Math.max(LEAST, FRAME + LINE_HEIGHT * lines));
}
