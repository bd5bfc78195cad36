import assert from "node:assert/strict";
import { test } from "node:test";
import { madeAt, moment, uuid7 } from "../src/id";

test("an id is a UUIDv7 that says when it was made", () => {
  const id = uuid7(Date.parse("2026-11-20T08:00:00.123Z"));
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(madeAt(id), Date.parse("2026-11-20T08:00:00.123Z"));
});

test("every random bit reaches the id", () => {
  const made = (byte: number, bit: number) => uuid7(0, Uint8Array.from({ length: 10 }, (_, at) => (at === byte ? 1 << bit : 0)));
  const ids = new Set<string>([uuid7(0, new Uint8Array(10))]);
  let bits = 0;
  for (let byte = 0; byte < 10; byte++) for (let bit = 0; bit < 8; bit++) bits += ids.size < ids.add(made(byte, bit)).size ? 1 : 0;
  assert.ok(bits >= 74, `${bits} bits`);
});

test("moments of one page rise even within a millisecond", () => {
  const moments = Array.from({ length: 1000 }, moment);
  assert.ok(moments.every((time, at) => at === 0 || time > moments[at - 1]!));
});
