import assert from "node:assert/strict";
import { test } from "node:test";
import { distance } from "../src/distance";

test("equal texts are 0 apart, texts with nothing in common 1", () => {
  assert.equal(distance("", ""), 0);
  assert.equal(distance("same", "same"), 0);
  assert.equal(distance("abc", "xyz"), 1);
  assert.equal(distance("", "abc"), 1);
  assert.equal(distance("abc", ""), 1);
});

test("one character of twenty is a twentieth", () => {
  assert.equal(distance("Refunds take 5 days.", "Refunds take 9 days."), 0.05);
});

test("the distance is the smallest number of changes", () => {
  assert.equal(distance("kitten", "sitting"), 3 / 7);
  assert.equal(distance("abcdef", "azced"), 3 / 6);
});

test("a character outside the basic plane is one character", () => {
  assert.equal(distance("ab😀d", "ab😁d"), 0.25);
});

test("a long text is compared by words", () => {
  const words = Array.from({ length: 1000 }, (_, at) => `word${at}`);
  const changed = words.map((word, at) => (at % 10 === 5 ? "other" : word));
  const far = distance(words.join(" "), changed.join(" "));
  assert.ok(Math.abs(far - 0.1) < 0.01, `${far}`);
});

test("a very long text is compared by which words it has", () => {
  const words = Array.from({ length: 30_000 }, (_, at) => `w${at}`);
  assert.ok(distance(words.join(" "), [...words].reverse().join(" ")) < 0.01);
  assert.ok(distance(words.join(" "), words.map((word) => `x${word}`).join(" ")) > 0.999);
});

test("a distance lies between 0 and 1 and is the same both ways", () => {
  const texts = ["", "a", "b a", "the answer", "another answer", "x".repeat(5000), "y ".repeat(4000)];
  for (const left of texts)
    for (const right of texts) {
      const far = distance(left, right);
      assert.ok(far >= 0 && far <= 1);
      assert.equal(far, distance(right, left));
    }
});
