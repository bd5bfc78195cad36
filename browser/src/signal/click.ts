/** Followed: the person opened a source that the answer cites. The address itself is never sent. */

import { answerAmong, pathOf } from "../bound";
import type { Watch } from "../client";
import { listen } from "../guard";

const SOURCE = "a[href], [data-trimtab-citation]";
const MIDDLE_BUTTON = 1;

export const watchClick: Watch = (host) => {
  function follow(event: MouseEvent): void {
    const path = pathOf(event);
    const source = path.find((element) => element.matches(SOURCE));
    // The answer is around the source; a link around an answer is no citation.
    const answer = source && answerAmong(path.slice(path.indexOf(source)));
    if (!answer || event.button > MIDDLE_BUTTON) return;
    const citation = source.getAttribute("data-trimtab-citation");
    host.report({ ...answer, kind: "click", ...(citation && { label: citation }) });
  }

  const stops = [
    listen(document, "click", follow, { capture: true }),
    listen(document, "auxclick", follow, { capture: true }),
  ];
  return () => stops.forEach((stop) => stop());
};
