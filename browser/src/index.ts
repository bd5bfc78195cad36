/** Trimtab in the browser: say what people think of an answer, and watch what they do with it. */

export { close, feedback, flush, init, stats } from "./client";
export type { Host, Kind, Options, Signal, Stats, Target, Watch } from "./client";
export {
  accept, comment, correction, edit, label, outcome, rating, reject, retract, thumb, type About,
} from "./opinion";
export { watchAbandon } from "./signal/abandon";
export { watchClick } from "./signal/click";
export { watchCopy } from "./signal/copy";
export { watchDwell } from "./signal/dwell";
export { watchEdit } from "./signal/edit";
export { watchRegenerate } from "./signal/regenerate";
