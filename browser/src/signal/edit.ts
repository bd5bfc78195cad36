/** Edited: a field bound to an answer holds the answer's text, and the person changed it before using it. */

import { answerOf, pathOf } from "../bound";
import type { Watch } from "../client";
import type { Target } from "../event";
import { distance } from "../distance";
import { listen } from "../guard";

interface Draft {
  answer: Target & { inference: string };
  shown: string;
  kept: string;
  told: string;
}

export const watchEdit: Watch = (host) => {
  const drafts = new Map<Element, Draft>();

  function tell(field: Element): void {
    const draft = drafts.get(field);
    if (!draft || draft.kept === draft.told) return;
    draft.told = draft.kept;
    const value = distance(draft.shown, draft.kept);
    const words = field.getAttribute("data-trimtab-edit") === "distance" ? {} : { text: draft.kept };
    host.report({ ...draft.answer, kind: "edit", value, ...words });
  }

  function tellAll(): void {
    for (const field of drafts.keys()) {
      tell(field);
      if (!field.isConnected) drafts.delete(field);
    }
  }

  const stops = [
    // What was shown is what stood there before the person's first change, however it came to stand there.
    listen(document, "beforeinput", (event) => {
      const field = pathOf(event)[0];
      const answer = field && answerOf(field);
      if (!answer || drafts.get(field)?.answer.inference === answer.inference) return;
      tell(field);
      const shown = textOf(field);
      drafts.set(field, { answer, shown, kept: shown, told: shown });
    }),
    // Only input is followed: an app that empties the field after sending has not edited the answer.
    listen(document, "input", (event) => {
      const field = pathOf(event)[0];
      const draft = field && drafts.get(field);
      if (draft) draft.kept = textOf(field);
    }),
    listen(document, "focusout", tellAll),
    listen(document, "submit", tellAll, { capture: true }),
  ];
  host.onLeave(tellAll);
  return () => stops.forEach((stop) => stop());
};

function textOf(field: Element): string {
  return field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement
    ? field.value
    : (field as HTMLElement).innerText;
}
