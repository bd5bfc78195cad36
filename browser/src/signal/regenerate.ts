/** Regenerated: the person pressed the answer's button for another one. */

import { answerAmong, pathOf } from "../bound";
import type { Watch } from "../client";
import { listen } from "../guard";

export const watchRegenerate: Watch = (host) =>
  listen(
    document,
    "click",
    (event) => {
      const path = pathOf(event);
      const answer = answerAmong(path);
      if (answer && path.some((element) => element.matches('[data-trimtab-action="regenerate"]'))) {
        host.report({ ...answer, kind: "regenerate" });
      }
    },
    // Before the app's own handler gives the element its next answer.
    { capture: true },
  );
