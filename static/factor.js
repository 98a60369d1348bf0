// The second factor, in the account view: turned on, its recovery codes, turned off.

import { act, whoAmI } from "./api.js";
import { explain, isWaiting, showOnly, text, wait } from "./dom.js";

const byId = (id) => document.getElementById(id);
const [off, start, codes, on] = ["factor-off", "factor-start", "factor-codes", "factor-on"].map(byId);
const states = [off, start, codes, on];
const [error, status] = [byId("factor-error"), byId("factor-status")];
const [code, password, offCode] = ["factor-code", "factor-password", "factor-off-code"].map(byId);
const [qr, secret, link, list] = ["factor-qr", "factor-secret", "factor-link", "factor-list"].map(byId);

/** Modules without any that a scanner needs around a QR code. */
const MARGIN = 4;

let sessionEnded = () => {};
/** Counts what was asked, so that an answer to somebody who has left is not shown. */
let asked = 0;

/** Asks how the caller stands, and shows it. */
export async function load() {
  clear();
  await busy(null, async () => stand((await whoAmI()).second_factor));
}

/** Forgets everything, secrets before all, and takes it off the page. */
export function clear() {
  asked += 1;
  forget();
  text(error, "");
  text(status, "");
  showOnly(null, states);
  for (const button of byId("factor").querySelectorAll("button")) wait(button, false);
}

/** Connects the controls. Calls back when the session has ended. */
export function connect(leave) {
  sessionEnded = leave;
  press("factor-turn-on", async (button) => {
    const made = await busy(button, () => act("POST", "/me/totp"));
    if (!made) return;
    draw(made.qr);
    secret.textContent = made.secret.match(/.{1,4}/g).join(" ");
    link.href = made.uri;
    show(start, code);
  });
  submit("factor-start", async (button) => {
    if (code.value === "") return refuse("Type the six digits that the app shows.", code);
    const made = await busy(button, () => act("POST", "/me/totp/confirm", { code: code.value }), code);
    if (made) tell(made.recovery_codes, "It is on: from now on your sign-in takes a code.");
  });
  press("factor-renew", async (button) => {
    const made = await busy(button, () => act("POST", "/me/totp/recovery-codes"));
    if (made) tell(made.recovery_codes, "These are new; the old ones are worth nothing any more.");
  });
  submit("factor-turn-off", async (button) => {
    const empty = [password, offCode].find((field) => field.value === "");
    if (empty) return refuse("Type your password and a code.", empty);
    const body = { password: password.value, code: offCode.value };
    const done = await busy(button, () => act("DELETE", "/me/totp", body), offCode);
    if (done === undefined) return;
    await load();
    byId("factor-title").focus();
  });
  press("factor-cancel", () => load().then(() => byId("factor-turn-on").focus()));
  press("factor-done", () => load().then(() => byId("factor-title").focus()));
  press("factor-print", () => print());
  const copy = byId("factor-copy");
  // Browsers give a clipboard to pages that came safely, and to no other.
  copy.hidden = !navigator.clipboard;
  press("factor-copy", async () => {
    try {
      await navigator.clipboard.writeText([...list.children].map((item) => item.textContent).join("\n"));
      text(status, "They are copied.");
    } catch {
      refuse("This browser does not let the page copy: mark the codes and copy them by hand.");
    }
  });
}

function press(id, done) {
  const button = byId(id);
  button.addEventListener("click", () => isWaiting(button) || done(button));
}

function submit(id, done) {
  const form = byId(id);
  const button = form.querySelector("[type=submit]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isWaiting(button)) done(button);
  });
}

/** Asks the server while a button waits; what it gives, or nothing after it has said why not. */
async function busy(button, ask, field) {
  const question = ++asked;
  text(error, "");
  if (button) wait(button, true);
  try {
    const answer = await ask();
    return question === asked ? answer : undefined;
  } catch (failure) {
    if (question !== asked) return undefined;
    if (failure.kind === "session") sessionEnded(failure.message);
    else refuse(explain(failure), field);
    return undefined;
  } finally {
    if (button && question === asked) wait(button, false);
  }
}

function stand({ on: isOn, recovery_codes: left, demanded }) {
  const demand = demanded ? " Your org demands one of those who manage people or record pay." : "";
  text(byId("factor-off-text"), `It is off.${demand}`);
  const codesLeft = left === 1 ? "1 recovery code is" : `${left} recovery codes are`;
  text(byId("factor-on-text"), `It is on, and ${codesLeft} left.${demand}`);
  byId("factor-user").value = byId("who").textContent;
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
  text(error, sentence);
  for (const input of [code, password, offCode]) {
    const isWrong = input === field;
    input.setAttribute("aria-invalid", String(isWrong));
    if (isWrong) input.setAttribute("aria-describedby", error.id);
    else input.removeAttribute("aria-describedby");
  }
  field?.focus();
  field?.select();
}

function forget() {
  qr.querySelector("path").removeAttribute("d");
  secret.textContent = "";
  link.removeAttribute("href");
  list.replaceChildren();
  for (const form of [start, byId("factor-turn-off")]) form.reset();
  refuse("");
}
