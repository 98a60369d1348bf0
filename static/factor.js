// The second factor, in the account view: turned on, its recovery codes, turned off.

import { confirmFactor, renewRecoveryCodes, startFactor, turnFactorOff, whoAmI } from "./api.js";
import * as dom from "./dom.js";
import { countDown, isWaiting, showOnly, text, wait } from "./dom.js";

const byId = (id) => document.getElementById(id);
const [off, start, codes, on] = ["factor-off", "factor-start", "factor-codes", "factor-on"].map(byId);
const states = [off, start, codes, on];
const [error, status, loading] = ["factor-error", "factor-status", "factor-loading"].map(byId);
const [code, password, offCode] = ["factor-code", "factor-password", "factor-off-code"].map(byId);
const [qr, secret, link, list] = ["factor-qr", "factor-secret", "factor-link", "factor-list"].map(byId);

/** Modules without any that a scanner needs around a QR code. */
const MARGIN = 4;

let leave = () => {};
/** Whose it is, for those who keep passwords for them. */
let username = "";
/** Counts what was asked, so that an answer to somebody who has left is not shown. */
let asked = 0;
/** One question at a time: recovery codes that come while another is asked would be lost. */
let isPending = false;
/** Ends the countdown of a button, which says again what it does. */
let stopCountDown = () => {};

/** Asks how the caller stands, and shows it. */
export async function load(name) {
  clear();
  username = name;
  text(loading, "Asking for your second factor…");
  const me = await busy(null, whoAmI);
  if (me) stand(me.factor);
}

/** Forgets everything, secrets before all, and takes it off the page. */
export function clear() {
  asked += 1;
  isPending = false;
  username = "";
  forget();
  // Out of the state that it was told in, which may not be shown next.
  off.before(error);
  for (const element of [status, loading]) text(element, "");
  stopCountDown();
  showOnly(null, states);
  for (const button of byId("factor").querySelectorAll("button")) wait(button, false);
}

/** Connects the controls. Calls back when the session has ended, and when the factor is turned on or
 *  off. */
export function connect({ leave: sessionEnded, changed }) {
  leave = sessionEnded;
  press("factor-turn-on", async (button) => {
    const made = await busy(button, startFactor);
    if (!made) return;
    draw(made.qr);
    secret.textContent = made.secret.match(/.{1,4}/g).join(" ");
    link.href = made.uri;
    show(start, code);
  });
  submit("factor-start", async (button) => {
    if (code.value === "") return refuse("Type the six digits that the app shows.", code);
    const made = await busy(button, () => confirmFactor(code.value), { code });
    if (!made) return;
    tell(made, "It is on: from now on your sign-in takes a code.");
    changed();
  });
  press("factor-renew", async (button) => {
    const made = await busy(button, renewRecoveryCodes);
    if (made) tell(made, "These are new; the old ones are worth nothing any more.");
  });
  submit("factor-turn-off", async (button) => {
    const empty = [password, offCode].find((field) => field.value === "");
    if (empty) return refuse("Type your password and a code.", empty);
    const isDone = await busy(button, async () => {
      await turnFactorOff(password.value, offCode.value);
      return true;
    }, { password, code: offCode });
    if (!isDone) return;
    again(byId("factor-title"));
    changed();
  });
  press("factor-cancel", () => again(byId("factor-title")));
  press("factor-done", () => again(byId("factor-title")));
  press("factor-print", () => print());
  const copy = byId("factor-copy");
  // Browsers give a clipboard to pages that came safely, and to no other.
  copy.hidden = !navigator.clipboard;
  press("factor-copy", async () => {
    try {
      await navigator.clipboard.writeText([...list.children].map((item) => item.textContent).join("\n"));
      text(status, "They are copied.");
    } catch {
      refuse("This browser does not let the page copy: mark the codes and copy them by hand.", copy);
    }
  });
}

/** Shows how the caller stands now; what they have pressed is gone. */
function again(focused) {
  load(username);
  focused.focus();
}

function press(id, done) {
  const button = byId(id);
  button.addEventListener("click", () => isPending || isWaiting(button) || done(button));
}

function submit(id, done) {
  const form = byId(id);
  const button = form.querySelector("[type=submit]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isPending && !isWaiting(button)) done(button);
  });
}

/** Asks the server while a button waits; what it gives, or nothing after it has said why not, beside
 *  the field of which the server complains. */
async function busy(button, ask, fields = {}) {
  const question = ++asked;
  let answer, failure;
  refuse("");
  isPending = true;
  if (button) wait(button, true);
  try {
    answer = await ask();
  } catch (caught) {
    failure = caught;
  }
  if (question !== asked) return undefined;
  isPending = false;
  text(loading, "");
  if (button) wait(button, false);
  if (!failure) return answer;
  if (failure.kind === "session") {
    leave(failure.message);
    return undefined;
  }
  dom.refuseBy(error, failure, fields, button);
  if (button && failure.retryAfter) pause(button, failure.retryAfter);
  return undefined;
}

/** Lets a button wait for as long as the server has said. */
function pause(button, seconds) {
  const label = button.textContent;
  const ready = () => {
    stopCountDown = () => {};
    button.textContent = label;
    wait(button, false);
  };
  const stop = countDown(button, seconds, ready);
  stopCountDown = () => {
    stop();
    ready();
  };
}

function stand({ on: isOn, recovery_codes: left, demanded }) {
  const demand = demanded ? " Your org demands one of those who manage people or record pay." : "";
  text(byId("factor-off-text"), `It is off.${demand}`);
  const codesLeft = left === 1 ? "1 recovery code is" : `${left} recovery codes are`;
  text(byId("factor-on-text"), `It is on, and ${codesLeft} left.${demand}`);
  byId("factor-user").value = username;
  showOnly(isOn ? on : off, states);
}

function tell(recoveryCodes, sentence) {
  forget();
  list.replaceChildren(...recoveryCodes.map((each) => {
    const item = document.createElement("li");
    item.textContent = each;
    return item;
  }));
  text(status, sentence);
  show(codes, byId("factor-codes-title"));
}

/** As a picture of lines, since this page takes pictures from nowhere. */
function draw({ size, path }) {
  const whole = size + 2 * MARGIN;
  qr.setAttribute("viewBox", `${-MARGIN} ${-MARGIN} ${whole} ${whole}`);
  qr.querySelector("path").setAttribute("d", path);
}

function show(state, focused) {
  showOnly(state, states);
  focused.focus();
}

function refuse(sentence, field) {
  dom.refuse(error, sentence, [code, password, offCode], field);
}

function forget() {
  qr.querySelector("path").removeAttribute("d");
  secret.textContent = "";
  link.removeAttribute("href");
  list.replaceChildren();
  for (const form of [start, byId("factor-turn-off")]) form.reset();
  refuse("");
}
