/**
 * Elements are bound to an answer by attributes:
 *
 *     data-trimtab-inference="<id>"     this element shows, or edits, that answer
 *     data-trimtab-token="<token>"      the signed token for it, if there is no public key
 *     data-trimtab-feature="<name>"     its feature, if it is not the one given to init
 *     data-trimtab-action="copy|regenerate"   a button that does this
 *     data-trimtab-citation="<id>"      a source the answer cites
 *     data-trimtab-edit="distance"      report how much was changed, not the words that were kept
 */

import type { Target } from "./event";

export const ATTRIBUTE = "data-trimtab-inference";

/** Return the answer that `element` itself is bound to. */
export function answerOf(element: Element): (Target & { inference: string }) | undefined {
  const { trimtabInference, trimtabToken, trimtabFeature } = (element as HTMLElement).dataset ?? {};
  return trimtabInference
    ? {
        inference: trimtabInference,
        ...(trimtabToken && { token: trimtabToken }),
        ...(trimtabFeature && { feature: trimtabFeature }),
      }
    : undefined;
}

/** Return the elements from where `event` happened outward, through open shadow roots. */
export function pathOf(event: Event): Element[] {
  return event.composedPath().filter((node): node is Element => node instanceof Element);
}

/** Return the first answer bound to one of these elements. */
export function answerAmong(path: Element[]): (Target & { inference: string }) | undefined {
  return path.map(answerOf).find(Boolean);
}
