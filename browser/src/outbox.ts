/** Delivers events: in batches, again after a failure, and once more when the page goes. */

import { madeAt } from "./id";
import type { Entry, Shelf } from "./shelf";

/** What became of the events of this page, counted. */
export interface Stats {
  /** Confirmed by the server. */
  sent: number;
  /** Given up: refused by the server, older than a week, or pushed out of a full queue. */
  dropped: number;
  /** Not confirmed yet. */
  waiting: number;
}

export interface Outbox {
  add(entry: Entry): void;
  flush(): Promise<void>;
  /** Send everything unconfirmed in requests that outlive the page. */
  leave(): void;
  stats(): Stats;
  close(): void;
}

const MAX_EVENTS = 1000;
const MAX_AGE_MS = 7 * 24 * 3600_000;
const BATCH_EVENTS = 100;
/** Browsers let the requests that outlive a page carry 64 KiB together. */
const BATCH_BYTES = 60_000;
const PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 300_000;
const TIMEOUT_MS = 20_000;
/** Answers that no repetition will change. */
const FINAL = [400, 401, 403, 413, 422];

/** Open the way to `origin`; `warn` is told each cause of a loss. */
export function openOutbox(origin: string, shelf: Shelf, warn: (cause: string) => void): Outbox {
  const url = `${origin}/v1/events`;
  const waiting = new Map<string, Entry>();
  const leaving = new Set<string>();
  const counts = { sent: 0, dropped: 0 };
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let sending: Promise<void> | undefined;
  let closed = false;

  function forget(entries: Entry[]): void {
    for (const { id } of entries) waiting.delete(id);
    void shelf.remove(entries.map(({ id }) => id));
  }

  function drop(entries: Entry[], cause: string): void {
    counts.dropped += entries.length;
    forget(entries);
    warn(cause);
  }

  function keep(entry: Entry): void {
    waiting.set(entry.id, entry);
    if (waiting.size > MAX_EVENTS) drop([waiting.values().next().value!], "the queue is full, its oldest went");
  }

  function later(pause: number): void {
    if (!timer && !closed) timer = setTimeout(() => void flush(), pause);
  }

  /** The oldest entries that share a credential and fit into one request. */
  function nextBatch(entries: Iterable<Entry>): Entry[] {
    const batch: Entry[] = [];
    let bytes = 2;
    for (const entry of entries) {
      if (batch[0] && entry.auth !== batch[0].auth) continue;
      bytes += new Blob([JSON.stringify(entry.event)]).size + 1;
      if (batch.length === BATCH_EVENTS || (batch.length && bytes > BATCH_BYTES)) break;
      batch.push(entry);
    }
    return batch;
  }

  async function settle(batch: Entry[], answer: Response): Promise<void> {
    if (!answer.ok && !FINAL.includes(answer.status)) {
      const seconds = Number(answer.headers.get("retry-after"));
      throw seconds > 0 ? Math.min(seconds * 1000, LONGEST_PAUSE_MS) : 0;
    }
    failures = 0;
    const known = batch.filter(({ id }) => waiting.has(id));
    if (!answer.ok) return drop(known, `the server refused events (${answer.status})`);
    const receipt = await answer.json().catch(() => ({}));
    const rejected: { code: string; param?: string }[] = receipt?.rejected ?? [];
    for (const { code, param } of rejected) warn(`the server refused an event (${code} ${param ?? ""})`);
    counts.dropped += rejected.length;
    counts.sent += known.length - rejected.length;
    forget(known);
  }

  async function deliver(): Promise<void> {
    try {
      while (waiting.size && !closed) {
        const batch = nextBatch(waiting.values());
        const headers = { authorization: `Bearer ${batch[0]!.auth}`, "content-type": "application/json" };
        await settle(batch, await fetch(url, { ...request(batch), headers, signal: AbortSignal.timeout(TIMEOUT_MS) }));
      }
    } catch (reason) {
      retry(reason);
    }
  }

  function retry(reason: unknown): void {
    const pause = Math.min(PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS);
    later(typeof reason === "number" && reason ? reason : pause * (0.5 + Math.random() / 2));
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    sending ??= deliver().finally(() => (sending = undefined));
    return sending;
  }

  function leave(): void {
    const rest = new Set([...waiting.values()].filter(({ id }) => !leaving.has(id)));
    let room = BATCH_BYTES;
    while (rest.size) {
      const batch = nextBatch(rest);
      const init = request(batch);
      for (const entry of batch) rest.delete(entry);
      room -= new Blob([init.body]).size;
      if (room < 0) break; // the shelf keeps it for the next visit
      depart(batch, init);
    }
  }

  /** A request that needs no preflight, which a closing page could not wait for: plain text, the key in the address. */
  function depart(batch: Entry[], init: { body: string }): void {
    const address = `${url}?key=${encodeURIComponent(batch[0]!.auth)}`;
    if (!("keepalive" in Request.prototype)) return void navigator.sendBeacon(address, init.body);
    for (const { id } of batch) leaving.add(id);
    fetch(address, { ...init, headers: { "content-type": "text/plain" }, keepalive: true })
      .then((answer) => settle(batch, answer))
      .catch(retry)
      .finally(() => batch.forEach(({ id }) => leaving.delete(id)));
  }

  void shelf.all().then((entries) => {
    const oldest = Date.now() - MAX_AGE_MS;
    const stale = entries.filter(({ id }) => madeAt(id) < oldest);
    if (stale.length) drop(stale, "events waited for more than a week");
    const younger = [...waiting.values()];
    waiting.clear();
    [...entries.filter(({ id }) => madeAt(id) >= oldest), ...younger].forEach(keep);
    if (waiting.size) later(0);
  });

  return {
    add(entry) {
      void shelf.put(entry);
      keep(entry);
      later(PAUSE_MS);
    },
    flush,
    leave,
    stats: () => ({ ...counts, waiting: waiting.size }),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

function request(batch: Entry[]) {
  return {
    method: "POST",
    body: JSON.stringify(batch.map(({ event }) => event)),
    credentials: "omit",
    cache: "no-store",
  } as const;
}
