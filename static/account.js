// The account view: what somebody keeps for themselves. Now their password.

import { changePassword } from "./api.js";
import { countDown, explain, isWaiting, text, wait } from "./dom.js";

const byId = (id) => document.getElementById(id);
const title = byId("account-title");
const notice = byId("account-notice");
const back = byId("close-account");
const form = byId("change-password");
const why = byId("change-why");
const error = byId("change-error");
const username = byId("change-username");
const oldPassword = byId("old-password");
const newPassword = byId("new-password");
const submit = byId("change");
const reveal = byId("reveal-new");
const fields = { old: oldPassword, new: newPassword };

/** Until when the password must be changed that was made for the user; null for one of their own. */
let mustChangeUntil = null;
/** Counts what was shown, so that an answer for somebody who has left is not told to the next. */
let shown = 0;
let stopCountDown = () => {};

/** Where the view leads to: `leave` and `signInAgain` take a sentence. */
export function connect({ leave, signInAgain, goOn }) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isWaiting(submit)) return;
    const missing = [oldPassword, newPassword].find((field) => field.value === "");
    if (missing) return refuse("Type the old password and the new one.", missing);
    const asked = shown;
    text(notice, "");
    refuse("");
    busy(true);
    showPasswords(false);
    try {
      await changePassword(oldPassword.value, newPassword.value);
      if (asked !== shown) return;
      if (mustChangeUntil) return goOn();
      empty();
      text(notice, "Your password is changed. You are signed out everywhere else.");
      title.focus();
    } catch (failure) {
      if (asked !== shown) return;
      if (failure.kind === "session") return leave(failure.message);
      if (failure.kind === "sign-in") return signInAgain(failure.message);
      tell(failure);
      if (failure.retryAfter) {
        form.removeAttribute("aria-busy");
        stopCountDown = countDown(submit, failure.retryAfter, () => busy(false));
        return;
      }
    }
    busy(false);
  });

  reveal.addEventListener("click", () => showPasswords(newPassword.type === "password"));
}

/** Shows the view to a user, who may have to choose a password before anything else. */
export function show(name, until) {
  clear();
  mustChangeUntil = until;
  username.value = name;
  back.hidden = until !== null;
  title.textContent = until ? "Choose your own password" : "Account";
  byId("change-title").hidden = until !== null;
  byId("old-label").textContent = until ? "The password that you were given" : "Old password";
  why.textContent = until
    ? `The one that you signed in with was made for you. It is good for this alone, until ${inWords(until)}.`
    : "Your sessions on other devices and the tokens of your scripts end; this one goes on.";
  title.focus();
}

/** Forgets what was typed and for whom. */
export function clear() {
  shown += 1;
  mustChangeUntil = null;
  username.value = "";
  text(notice, "");
  empty();
}

function empty() {
  stopCountDown();
  // Not the whole form: the name stays for the next change.
  oldPassword.value = newPassword.value = "";
  showPasswords(false);
  refuse("");
  busy(false);
}

function tell(failure) {
  const [name, field] = Object.entries(fields).find(([name]) => failure.reasons[name]) ?? [];
  if (!field) return refuse(explain(failure), submit);
  if (field === oldPassword) oldPassword.value = "";
  refuse(failure.reasons[name], field);
}

function refuse(sentence, field) {
  text(error, sentence);
  for (const input of [oldPassword, newPassword]) {
    const isBad = input === field;
    input.setAttribute("aria-invalid", String(isBad));
    const hints = [isBad && error.id, input === newPassword && "new-hint"].filter(Boolean);
    if (hints.length) input.setAttribute("aria-describedby", hints.join(" "));
    else input.removeAttribute("aria-describedby");
  }
  field?.focus();
}

function busy(now) {
  wait(submit, now);
  submit.textContent = now ? "Changing…" : "Change the password";
  form.setAttribute("aria-busy", String(now));
}

function showPasswords(visible) {
  oldPassword.type = newPassword.type = visible ? "text" : "password";
  reveal.textContent = visible ? "Hide" : "Show";
  reveal.setAttribute("aria-label", `${reveal.textContent} the passwords`);
}

function inWords(moment) {
  return moment.toLocaleString([], { dateStyle: "long", timeStyle: "short" });
}
