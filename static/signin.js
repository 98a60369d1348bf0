// The sign-in form.

import { forget, passwordExpires, signIn, signOut } from "./api.js";
import { countDown, explain, isWaiting, text, wait } from "./dom.js";

const form = document.getElementById("sign-in");
const username = document.getElementById("username");
const password = document.getElementById("password");
const code = document.getElementById("code");
const submit = document.getElementById("submit");
const reveal = document.getElementById("reveal");
const error = document.getElementById("sign-in-error");

/** Whether the page was left since the form was sent, so that nobody waits for the answer. */
let abandoned = false;

/** Calls back once somebody has signed in: with the user name, for how many seconds, and until when
 *  they must choose a password of their own, or null. */
export function onSignIn(done) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isWaiting(submit)) return;
    const missing = [username, password].find((field) => field.value === "");
    if (missing) return refuse("Type your user name and your password.", missing);
    abandoned = false;
    busy(true);
    // The field may change until the answer comes.
    const name = username.value;
    // Browsers offer to keep only what they know to be a password.
    showPassword(false);
    try {
      const seconds = await signIn(name, password.value, code.value);
      if (abandoned) {
        // Whoever finds the page now need not be the one who sent the form.
        await signOut();
        return busy(false);
      }
      const mustChangeUntil = await passwordExpires();
      if (!abandoned) {
        clear();
        done(name, seconds, mustChangeUntil);
      }
    } catch (failure) {
      // Nobody goes on with a session of which the page does not know what it is for.
      forget();
      if (abandoned) {
        // There is nobody to tell.
      } else if (failure.kind === "credentials") {
        password.value = "";
        code.value = "";
        refuse(failure.message, password);
      } else {
        refuse(explain(failure), submit);
      }
      if (failure.retryAfter) {
        form.removeAttribute("aria-busy");
        countDown(submit, failure.retryAfter, () => busy(false));
        return;
      }
    }
    busy(false);
  });

  reveal.addEventListener("click", () => showPassword(password.type === "password"));
}

/** Empties the form and hides what it said. */
export function clear() {
  abandoned = true;
  form.reset();
  showPassword(false);
  refuse("");
}

/** Puts the focus where somebody begins. */
export function focus() {
  (username.value ? password : username).focus();
}

function refuse(sentence, field) {
  text(error, sentence);
  for (const input of [username, password]) {
    input.setAttribute("aria-invalid", String(input === field));
    // The notice says why somebody is here again, and the focus lands on the user name.
    if (input === field) input.setAttribute("aria-describedby", error.id);
    else if (input === username) input.setAttribute("aria-describedby", "notice");
    else input.removeAttribute("aria-describedby");
  }
  field?.focus();
}

function busy(now) {
  wait(submit, now);
  submit.textContent = now ? "Signing in…" : "Sign in";
  form.setAttribute("aria-busy", String(now));
}

function showPassword(visible) {
  password.type = visible ? "text" : "password";
  reveal.textContent = visible ? "Hide" : "Show";
  reveal.setAttribute("aria-label", `${reveal.textContent} the password`);
}
