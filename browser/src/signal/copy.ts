/** Copied: the person selected words of an answer and copied them, or pressed its copy button. Once per answer. */

import { answerAmong, answerOf, ATTRIBUTE, pathOf } from "../bound";
import type { Watch } from "../client";
import type { Target } from "../event";
import { listen } from "../guard";

export const watchCopy: Watch = (host) => {
  const told = new Set<string>();

  function tell(answer: (Target & { inference: string }) | undefined): void {
    if (!answer || told.has(answer.inference)) return;
    told.add(answer.inference);
    host.report({ ...answer, kind: "copy" });
  }

  const stops = [
    listen(document, "copy", (event) => {
      const selection = getSelection();
      const selected =
        selection && !selection.isCollapsed
          ? [...document.querySelectorAll(`[${ATTRIBUTE}]`)].filter((element) => selection.containsNode(element, true))
          : [];
      // A field's own selection is no selection of the document's.
      if (selected.length) selected.map(answerOf).forEach(tell);
      else tell(answerAmong(pathOf(event)));
    }),
    listen(document, "click", (event) => {
      const path = pathOf(event);
      if (path.some((element) => element.matches('[data-trimtab-action="copy"]'))) tell(answerAmong(path));
    }),
  ];
  return () => stops.forEach((stop) => stop());
};
