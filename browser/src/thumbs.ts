/**
 * `<trimtab-thumbs inference="<id>">`: two buttons to say whether an answer helped, to change one's mind, to take it back.
 *
 * Attributes: `inference` (else that of the bound element around it), `token`, `feature`, `value` ("1" or "0" to show an
 * earlier vote), and the words `label`, `up`, `down`, `thanks`, `undone`. A change fires `trimtab-vote` with
 * `detail.value` 1, 0 or null. Style it with `::part(up)`, `::part(down)` and `color`.
 */

import { answerOf, ATTRIBUTE } from "./bound";
import { feedback, type Target } from "./client";
import { safely } from "./guard";

const WORDS = {
  label: "Was this answer helpful?",
  up: "Helpful",
  down: "Not helpful",
  thanks: "Thank you for your feedback.",
  undone: "Feedback taken back.",
};

const STYLE = `
:host{display:inline-flex;gap:4px;color:inherit}
:host([hidden]){display:none}
div{display:contents}
button{all:unset;box-sizing:border-box;cursor:pointer;min-width:28px;min-height:28px;padding:5px;border-radius:6px;display:inline-flex;opacity:.75}
button:hover,button[aria-pressed=true]{opacity:1}
button[aria-pressed=true] path{fill:currentColor}
button:focus-visible{outline:2px solid;outline-offset:2px;opacity:1}
svg{width:18px;height:18px;fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
[part=down] svg{transform:rotate(180deg)}
span{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}`;

const THUMB = "M7 11 11 3q3 0 3 3v4h6l-2 10H7zM3 11h4v9H3z";
const SVG = "http://www.w3.org/2000/svg";

/** Nothing to extend where there is no DOM: the module can still be imported on a server. */
const Element_ = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class TrimtabThumbs extends Element_ {
  static readonly observedAttributes = ["inference", "value", "label", "up", "down"];
  #group = document.createElement("div");
  #status = document.createElement("span");
  #buttons = { 1: this.#button("up", 1), 0: this.#button("down", 0) };
  #inference: string | undefined;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    // Neither inline styles nor innerHTML: both are refused under a strict content security policy.
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#group.setAttribute("role", "group");
    this.#status.setAttribute("role", "status");
    this.#group.append(this.#buttons[1], this.#buttons[0], this.#status);
    root.append(this.#group);
  }

  connectedCallback(): void {
    this.#render();
  }

  attributeChangedCallback(name: string): void {
    if (name === "inference" && this.#inference && this.#answer().inference !== this.#inference) {
      // The place of an answer is used again for the next one: nobody has voted on that yet.
      this.#inference = undefined;
      this.removeAttribute("value");
      this.#status.textContent = "";
    }
    this.#render();
  }

  /** The vote shown: 1, 0 or null. */
  get value(): 1 | 0 | null {
    const value = this.getAttribute("value");
    return value === "1" ? 1 : value === "0" ? 0 : null;
  }

  #button(name: "up" | "down", value: 1 | 0): HTMLButtonElement {
    const button = document.createElement("button");
    const icon = document.createElementNS(SVG, "svg");
    const path = document.createElementNS(SVG, "path");
    button.type = "button";
    button.part = name;
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    path.setAttribute("d", THUMB);
    icon.append(path);
    button.append(icon);
    button.addEventListener("click", safely(() => this.#vote(value)));
    return button;
  }

  #vote(pressed: 1 | 0): void {
    const answer = this.#answer();
    const value = this.value === pressed ? null : pressed;
    this.#inference = answer.inference;
    feedback({ ...answer, kind: "thumb", ...(value === null ? { retracted: true } : { value }) });
    if (value === null) this.removeAttribute("value");
    else this.setAttribute("value", `${value}`);
    this.#status.textContent = this.#word(value === null ? "undone" : "thanks");
    this.dispatchEvent(new CustomEvent("trimtab-vote", { detail: { value }, bubbles: true, composed: true }));
  }

  #answer(): Target {
    const around = this.closest(`[${ATTRIBUTE}]`);
    const own: Target = {};
    for (const name of ["inference", "token", "feature"] as const) {
      const given = this.getAttribute(name);
      if (given) own[name] = given;
    }
    return { ...(around && !own.inference && answerOf(around)), ...own };
  }

  #word(name: keyof typeof WORDS): string {
    return this.getAttribute(name) ?? WORDS[name];
  }

  #render(): void {
    this.#group.setAttribute("aria-label", this.#word("label"));
    for (const value of [1, 0] as const) {
      const button = this.#buttons[value];
      const name = this.#word(value ? "up" : "down");
      button.setAttribute("aria-label", name);
      button.title = name;
      button.setAttribute("aria-pressed", String(this.value === value));
    }
  }
}

if (globalThis.customElements && !customElements.get("trimtab-thumbs")) {
  customElements.define("trimtab-thumbs", TrimtabThumbs);
}

declare global {
  interface HTMLElementTagNameMap {
    "trimtab-thumbs": TrimtabThumbs;
  }
}
