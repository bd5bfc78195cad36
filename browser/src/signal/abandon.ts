/**
 * Abandoned: the page was hidden while the person had seen an answer and done nothing about it.
 *
 * Someone who comes back and does something after all has not abandoned it: the signal is taken back.
 */

import type { Watch } from "../client";
import type { Target } from "../event";
import { watchSight } from "../visible";

export const watchAbandon: Watch = (host) => {
  const open = new Map<string, Target>();
  const left = new Map<string, Target>();
  const resolved = new Set<string>();

  host.onReport(({ kind, inference_id: id }) => {
    if (!id || kind === "dwell" || kind === "abandon") return;
    resolved.add(id);
    open.delete(id);
    const answer = left.get(id);
    left.delete(id);
    if (answer) host.report({ ...answer, kind: "abandon", retracted: true });
  });

  host.onLeave(() => {
    for (const [id, answer] of open) {
      left.set(id, answer);
      open.delete(id);
      host.report({ ...answer, kind: "abandon" });
    }
  });

  return watchSight((answer, seen) => {
    const id = answer.inference;
    if (seen && !resolved.has(id) && !left.has(id)) open.set(id, answer);
  });
};
