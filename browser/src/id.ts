/** Time-ordered ids made by the sender, so that an event sent twice is stored once. */

let last = 0;

/** Return the time in ms since 1970, later than any this page was told before: the latest opinion is never a tie. */
export function moment(): number {
  last = Math.max(Date.now(), last + 1);
  return last;
}

/** Return the UUIDv7 (RFC 9562, 5.7) of `time` in ms since 1970 with these 10 random bytes. */
export function uuid7(time: number, random: Uint8Array = crypto.getRandomValues(new Uint8Array(10))): string {
  const hex = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const stamp = time.toString(16).padStart(12, "0");
  const variant = "89ab"[random[1]! & 3];
  return `${stamp.slice(0, 8)}-${stamp.slice(8)}-7${hex.slice(0, 3)}-${variant}${hex.slice(4, 7)}-${hex.slice(7, 19)}`;
}

/** Return the time in ms since 1970 at which a UUIDv7 was made. */
export function madeAt(id: string): number {
  return parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
