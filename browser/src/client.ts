/** The page's one client: takes signals, completes them from what `init` was told, and hands them on for delivery. */

import { eventOf, hasTarget, type FeedbackEvent, type Kind, type Signal, type Target } from "./event";
import { listen, safely, warn } from "./guard";
import { moment, uuid7 } from "./id";
import { openOutbox, type Outbox, type Stats } from "./outbox";
import { openShelf } from "./shelf";

/** What a watcher of implicit signals is given. */
export interface Host {
  /** Record a signal. */
  report(signal: Signal): void;
  /** Hear of every event of this page. */
  onReport(hear: (event: FeedbackEvent) => void): void;
  /** Be asked for what is left to report, each time the page is hidden or goes. */
  onLeave(tell: () => void): void;
}

/** Starts watching one kind of implicit signal; returns what stops it. */
export type Watch = (host: Host) => () => void;

export interface Options {
  /** Address of the Trimtab server, such as `https://feedback.example.com`. */
  origin: string;
  /** A public key; leave it out where every signal brings a `token`. */
  key?: string;
  feature?: string;
  user?: string;
  session?: string;
  /** The implicit signals to watch; none unless given. */
  signals?: Watch[];
  /** Where the browser says Do Not Track or Global Privacy Control: no implicit signals, no user, no session. */
  respectDoNotTrack?: boolean;
}

interface Client {
  report(signal: Signal): string | undefined;
  outbox: Outbox;
  stop(): void;
}

const EARLY_SIGNALS = 100;
let client: Client | undefined;
let early: Signal[] = [];

/** Start, or start again with other options. Signals given before wait in memory until now. */
export const init = safely((options: Options): void => {
  const next = start(options);
  client?.stop();
  client = next;
  early.splice(0).forEach(client.report);
});

/** Record a signal; returns the id of its event, or undefined where nothing will be sent. */
export const feedback = safely((signal: Signal): string | undefined => {
  if (client) return client.report(signal);
  if (early.length < EARLY_SIGNALS) early.push(signal);
  else warn("init was not called");
  return undefined;
});

/** Send what waits now; resolves when this attempt has ended. */
export const flush = async (): Promise<void> => client?.outbox.flush();

/** Return how many events were sent, dropped and are waiting. */
export const stats = (): Stats => client?.outbox.stats() ?? { sent: 0, dropped: 0, waiting: early.length };

/** Stop watching and sending; what waits stays for the next visit. */
export const close = safely((): void => {
  client?.stop();
  client = undefined;
});

function start(options: Options): Client {
  const origin = new URL(options.origin).href.replace(/\/+$/, "");
  const outbox = openOutbox(origin, openShelf(`trimtab ${origin}`), warn);
  const hearers: ((event: FeedbackEvent) => void)[] = [];
  const tellers: (() => void)[] = [];
  const quiet = !!options.respectDoNotTrack && asksForPrivacy();
  const person = quiet ? {} : { user: options.user, session: options.session };

  function report(signal: Signal): string | undefined {
    const { token = options.key, ...told } = signal;
    const about = { feature: options.feature, ...person, ...told, ...(quiet && { user: "", session: "" }) };
    const time = moment();
    const event = eventOf(about as Signal, uuid7(time), time);
    if (!token || !hasTarget(event)) {
      warn(token ? `a ${event.kind} without a target was not sent` : "neither a key nor a token was given");
      return undefined;
    }
    outbox.add({ id: event.id, auth: token, event });
    for (const hear of hearers) hear(event);
    return event.id;
  }

  function leave(): void {
    for (const tell of tellers) tell();
    outbox.leave();
  }

  const host: Host = {
    report,
    onReport: (hear) => void hearers.push(safely(hear)),
    onLeave: (tell) => void tellers.push(safely(tell)),
  };
  const watched = quiet ? [] : (options.signals ?? []);
  const stops = [
    ...watched.map((watch) => safely(watch)(host)),
    listen(document, "visibilitychange", () => document.hidden && leave()),
    listen(window, "pagehide", leave),
    listen(window, "online", outbox.flush),
    outbox.close,
  ];
  return { report, outbox, stop: () => stops.forEach((stop) => stop && safely(stop)()) };
}

function asksForPrivacy(): boolean {
  const { doNotTrack, globalPrivacyControl } = navigator as Navigator & { globalPrivacyControl?: boolean };
  return doNotTrack === "1" || !!globalPrivacyControl;
}

export type { Kind, Signal, Stats, Target };
