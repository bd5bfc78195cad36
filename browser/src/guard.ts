/** Keeps every failure of ours out of the page: caught, told once per cause, without a word of anyone's text. */

const told = new Set<string>();

/** Write `cause` to the console, the first time only. */
export function warn(cause: string): void {
  if (told.has(cause)) return;
  told.add(cause);
  console.warn(`trimtab: ${cause}`);
}

/** Return `act` so that it never throws; its answer is undefined when it would have. */
export function safely<A extends unknown[], R>(act: (...given: A) => R): (...given: A) => R | undefined {
  return (...given) => {
    try {
      return act(...given);
    } catch (error) {
      // The message may quote what a person wrote; the name does not.
      warn(`an internal ${(error as Error)?.name}`);
      return undefined;
    }
  };
}

/** Listen for `type` without ever throwing; returns what stops it. */
export function listen<E extends Event>(
  target: EventTarget,
  type: string,
  act: (event: E) => void,
  options?: AddEventListenerOptions,
): () => void {
  const heard = safely(act) as EventListener;
  target.addEventListener(type, heard, options);
  return () => target.removeEventListener(type, heard, options);
}
