// The password, in the account view.

import { changePassword } from "./api.js";
import * as dom from "./dom.js";
import { countDown, isWaiting, text, wait } from "./dom.js";

const byId = (id) => document.getElementById(id);
const title = byId("change-title");
const notice = byId("change-notice");
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

/** Connects the controls. Calls back when the session has ended, when the password is changed, and
 *  when that was what had to be done first. */
export function connect({ leave, changed, goOn }) {
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
      changed();
    } catch (failure) {
      if (asked !== shown) return;
      if (failure.kind === "session") return leave(failure.message);
      dom.refuseBy(error, failure, fields, submit);
      if (failure.reasons.old) oldPassword.value = "";
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

/** Asks a user for another password; until when they must choose it, or null. */
export function show(name, until) {
  clear();
  mustChangeUntil = until;
  username.value = name;
  title.hidden = until !== null;
  byId("old-label").textContent = until ? "The password that you were given" : "Old password";
  why.textContent = until
    ? `The one that you signed in with was made for you. It is good for this alone, until ${inWords(until)}.`
    : "Your sessions on other devices and the tokens of your scripts end; this one goes on.";
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

function refuse(sentence, field) {
  dom.refuse(error, sentence, [oldPassword, newPassword], field);
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
