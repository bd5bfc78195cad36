import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { eventOf, hasTarget, KINDS, type FeedbackEvent, type Signal } from "../src/event";

interface Line {
  call: string;
  arguments: unknown[];
  signal: Signal;
  event: FeedbackEvent;
}

const golden: Line[] = JSON.parse(readFileSync("../tests/contract/wire/feedback-events.json", "utf8"));

test("every signal of the golden file becomes its event, field by field", () => {
  for (const { signal, event } of golden) {
    assert.deepEqual(eventOf(signal, event.id, Date.parse(event.created_at)), event);
  }
});

test("the kinds are those of the golden file", () => {
  assert.deepEqual(new Set(golden.map(({ event }) => event.kind)), new Set(KINDS));
});

test("what is not given is not on the wire", () => {
  const event = eventOf({ kind: "accept", session: "s", user: "", retracted: false }, "id", 0);
  assert.deepEqual(Object.keys(event), ["type", "id", "kind", "created_at", "session_id"]);
});

test("a token never becomes part of an event", () => {
  assert.ok(!JSON.stringify(eventOf({ kind: "accept", inference: "i", token: "secret" }, "id", 0)).includes("secret"));
});

test("an event is about something", () => {
  assert.ok(hasTarget(eventOf({ kind: "accept", trace: "t" }, "id", 0)));
  assert.ok(!hasTarget(eventOf({ kind: "accept", span: "s", feature: "f", user: "u" }, "id", 0)));
});
