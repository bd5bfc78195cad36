/** How much a person changed a text before using it. */

const EXACT = 2000;

/**
 * Return the normalised Levenshtein distance of two texts: 0 used as it was, 1 nothing left of it.
 *
 * Distance divided by the length of the longer text, in code points. If more than 2,000 of them differ between the
 * common start and end, words take the place of characters; if more than 2,000 words do, the share of words without a
 * partner in the other text is the answer (a lower bound). The server's Python SDK counts the same way.
 */
export function distance(shown: string, kept: string): number {
  if (shown === kept) return 0;
  const texts = [Array.from(shown), Array.from(kept)] as const;
  const [left, right] = differing(...texts);
  const longest = longer(...texts);
  if (longer(left, right) <= EXACT) return levenshtein(left, right) / longest;
  const words = [wordsOf(left), wordsOf(right)] as const;
  const [start, end] = differing(...words);
  const changed = longer(start, end) <= EXACT ? levenshtein(start, end) : missing(start, end);
  // A distance in words is scaled to the part of the text that differs at all.
  return ((longer(left, right) / longest) * changed) / Math.max(longer(...words), 1);
}

const longer = (left: readonly string[], right: readonly string[]) => Math.max(left.length, right.length);

const wordsOf = (text: string[]) => text.join("").split(/\s+/).filter(Boolean);

/** Return both sequences without their common start and end. */
function differing(left: readonly string[], right: readonly string[]): [string[], string[]] {
  const shorter = Math.min(left.length, right.length);
  let start = 0;
  while (start < shorter && left[start] === right[start]) start++;
  let end = 0;
  while (end < shorter - start && left[left.length - 1 - end] === right[right.length - 1 - end]) end++;
  return [left.slice(start, left.length - end), right.slice(start, right.length - end)];
}

function levenshtein(left: string[], right: string[]): number {
  const row = Uint16Array.from({ length: right.length + 1 }, (_, at) => at);
  left.forEach((symbol, at) => {
    let diagonal = at;
    row[0] = at + 1;
    right.forEach((other, column) => {
      const above = row[column + 1]!;
      row[column + 1] = symbol === other ? diagonal : 1 + Math.min(diagonal, above, row[column]!);
      diagonal = above;
    });
  });
  return row[right.length]!;
}

function missing(left: string[], right: string[]): number {
  const count = new Map<string, number>();
  for (const word of left) count.set(word, (count.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of right) {
    const spare = count.get(word) ?? 0;
    if (spare > 0) shared++;
    count.set(word, spare - 1);
  }
  return longer(left, right) - shared;
}
