/** Tells which bound answers a person can see: half of the element, or as much as fills half of the window. */

import { answerOf, ATTRIBUTE } from "./bound";
import type { Target } from "./event";
import { safely } from "./guard";

type Answer = Target & { inference: string };

const SCAN_MS = 100;

/** Call `change` each time an answer comes into sight or leaves it; returns what stops it. */
export function watchSight(change: (answer: Answer, seen: boolean) => void): () => void {
  const known = new Map<Element, { answer: Answer; seen: boolean }>();
  let timer: ReturnType<typeof setTimeout> | undefined;

  function see(element: Element, seen: boolean): void {
    const entry = known.get(element);
    if (!entry || entry.seen === seen) return;
    entry.seen = seen;
    change(entry.answer, seen);
  }

  const sights = new IntersectionObserver(
    safely((entries: IntersectionObserverEntry[]) => {
      for (const { target, isIntersecting, intersectionRatio, intersectionRect, rootBounds } of entries) {
        const half = (rootBounds?.height ?? innerHeight) / 2;
        see(target, isIntersecting && (intersectionRatio >= 0.5 || intersectionRect.height >= half));
      }
    }),
    { threshold: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1] },
  );

  const scan = safely(() => {
    timer = undefined;
    for (const [element, { answer }] of known) {
      if (element.isConnected && answerOf(element)?.inference === answer.inference) continue;
      see(element, false);
      sights.unobserve(element);
      known.delete(element);
    }
    for (const element of document.querySelectorAll(`[${ATTRIBUTE}]`)) {
      const answer = answerOf(element);
      if (!answer || known.has(element)) continue;
      known.set(element, { answer, seen: false });
      sights.observe(element);
    }
  });

  // An answer streams in as hundreds of mutations: they share a scan.
  const changes = new MutationObserver(() => (timer ??= setTimeout(scan, SCAN_MS)));
  changes.observe(document, { subtree: true, childList: true, attributeFilter: [ATTRIBUTE] });
  scan();

  return () => {
    changes.disconnect();
    sights.disconnect();
    clearTimeout(timer);
  };
}
