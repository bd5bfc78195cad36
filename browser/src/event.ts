/** The wire shape of one feedback event, as `POST /v1/events` takes it, and how a signal becomes one. */

/** Every kind of signal the server knows. */
export const KINDS = [
  "thumb", "rating", "label", "correction", "comment", "accept", "reject",
  "edit", "copy", "regenerate", "rephrase", "click", "dwell", "abandon",
  "outcome",
] as const;

export type Kind = (typeof KINDS)[number];

/** What feedback is about and who gives it; what is not given here comes from `init`. */
export interface Target {
  /** Id of the inference, as the app's server made it. */
  inference?: string;
  /** The app's own id of the answer, where there is no inference id. */
  external?: string;
  /** W3C trace id (32 hex digits) of the answer in another tool. */
  trace?: string;
  /** W3C span id (16 hex digits) within `trace`. */
  span?: string;
  session?: string;
  feature?: string;
  user?: string;
  /** A signed token for this one answer, instead of the public key. */
  token?: string;
}

/** One thing a person said or did about an answer. */
export interface Signal extends Target {
  kind: Kind;
  value?: number;
  best?: number;
  label?: string;
  text?: string;
  source?: "user" | "app";
  /** Take back what the same person said of this kind on this target. */
  retracted?: boolean;
}

/** What goes over the wire; its fields and their meaning are those of `Feedback` in the server's records. */
export interface FeedbackEvent {
  type: "feedback";
  id: string;
  kind: Kind;
  created_at: string;
  inference_id?: string;
  external_id?: string;
  trace_id?: string;
  span_id?: string;
  session_id?: string;
  feature?: string;
  user_id?: string;
  source?: "user" | "app";
  value?: number;
  best?: number;
  label?: string;
  text?: string;
  retracted?: true;
}

/** Return the event of `signal`, made at `time` (ms since 1970) with `id`; absent fields are left out. */
export function eventOf(signal: Signal, id: string, time: number): FeedbackEvent {
  const { inference, external, trace, span, session, feature, user, kind, value, best, label, text } = signal;
  const fields = {
    type: "feedback",
    id,
    kind,
    created_at: new Date(time).toISOString(),
    inference_id: inference,
    external_id: external,
    trace_id: trace,
    span_id: span,
    session_id: session,
    feature,
    user_id: user,
    source: signal.source,
    value,
    best,
    label,
    text,
    retracted: signal.retracted || undefined,
  };
  const given = Object.entries(fields).filter(([, field]) => field != null && field !== "");
  return Object.fromEntries(given) as unknown as FeedbackEvent;
}

/** Say whether the event names something it is about. */
export function hasTarget(event: FeedbackEvent): boolean {
  return !!(event.inference_id || event.external_id || event.trace_id || event.session_id);
}
