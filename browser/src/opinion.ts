/** One short call for each thing a person says outright. A target is an inference id or a `Target`. */

import { feedback, type Kind, type Signal, type Target } from "./client";
import { distance } from "./distance";
import { safely } from "./guard";

export type About = string | Target;

const say = (about: About, kind: Kind, said: Partial<Signal> = {}): string | undefined =>
  feedback({ ...(typeof about === "string" ? { inference: about } : about), ...said, kind });

/** Thumb up (true) or down. */
export const thumb = (about: About, up: boolean) => say(about, "thumb", { value: up ? 1 : 0 });

/** A rating from 1 to `best`. */
export const rating = (about: About, value: number, best = 5) => say(about, "rating", { value, best });

/** A label of the app's own set, such as the reason for a thumb down. */
export const label = (about: About, name: string) => say(about, "label", { label: name });

/** The right answer, in the person's own words. */
export const correction = (about: About, text: string) => say(about, "correction", { text });

/** A remark. */
export const comment = (about: About, text: string) => say(about, "comment", { text });

/** The answer was taken as it is. */
export const accept = (about: About) => say(about, "accept");

/** The answer was turned down. */
export const reject = (about: About) => say(about, "reject");

/** The text was used after a change: what was shown, what was kept. */
export const edit = safely((about: About, shown: string, kept: string) =>
  say(about, "edit", { value: distance(shown, kept), text: kept }),
);

/** What the person wanted was reached, or missed. */
export const outcome = (about: About, reached: boolean) => say(about, "outcome", { value: reached ? 1 : 0 });

/** Take back what this person said of this kind. */
export const retract = (about: About, kind: Kind) => say(about, kind, { retracted: true });
