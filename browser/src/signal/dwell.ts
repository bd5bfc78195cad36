/** Dwelt: for how many seconds the answer was in sight of a visible page. Told when the page is hidden, as a total. */

import type { Watch } from "../client";
import type { Target } from "../event";
import { listen } from "../guard";
import { watchSight } from "../visible";

/** Growth of a total that is worth telling. */
const WORTH_MS = 1000;

interface Time {
  answer: Target;
  total: number;
  told: number;
  since: number | undefined;
}

export const watchDwell: Watch = (host) => {
  const times = new Map<string, Time>();
  const inSight = new Set<string>();

  function count(id: string): void {
    const time = times.get(id)!;
    const now = performance.now();
    if (time.since !== undefined) time.total += now - time.since;
    time.since = inSight.has(id) && !document.hidden ? now : undefined;
  }

  const countAll = () => [...times.keys()].forEach(count);

  host.onLeave(() => {
    countAll();
    for (const time of times.values()) {
      if (time.total - time.told < WORTH_MS) continue;
      time.told = time.total;
      host.report({ ...time.answer, kind: "dwell", value: Math.round(time.total / 100) / 10 });
    }
  });

  const stops = [
    watchSight((answer, seen) => {
      const id = answer.inference;
      if (!times.has(id)) times.set(id, { answer, total: 0, told: 0, since: undefined });
      if (seen) inSight.add(id);
      else inSight.delete(id);
      count(id);
    }),
    listen(document, "visibilitychange", countAll),
  ];
  return () => stops.forEach((stop) => stop());
};
