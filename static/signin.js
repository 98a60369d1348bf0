// The sign-in form.

import { signIn } from "./api.js";
import { explain, text } from "./dom.js";

const form = document.getElementById("sign-in");
const username = document.getElementById("username");
const password = document.getElementById("password");
const submit = document.getElementById("submit");
const reveal = document.getElementById("reveal");
const error = document.getElementById("sign-in-error");

/** Calls back with the user name, and for how many seconds, once somebody has signed in. */
export function onSignIn(done) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    const missing = [username, password].find((field) => field.value === "");
    if (missing) return refuse("Type your user name and your password.", missing);
    busy(true);
    try {
      const seconds = await signIn(username.value, password.value);
      const name = username.value;
      clear();
      done(name, seconds);
    } catch (failure) {
      if (failure.kind === "credentials") {
        password.value = "";
        refuse(failure.message, password);
      } else {
        refuse(explain(failure), submit);
      }
      if (failure.retryAfter) return countDown(failure.retryAfter);
    }
    busy(false);
  });

  reveal.addEventListener("click", () => showPassword(password.type === "password"));
}

/** Empties the form and hides what it said. */
export function clear() {
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
    input.toggleAttribute("aria-invalid", input === field);
    if (input === field) input.setAttribute("aria-describedby", error.id);
    else input.removeAttribute("aria-describedby");
  }
  field?.focus();
}

function busy(now) {
  submit.disabled = now;
  submit.textContent = now ? "Signing in…" : "Sign in";
  form.setAttribute("aria-busy", String(now));
}

/** The server has said when to come back; until then the button waits. */
function countDown(seconds) {
  if (seconds <= 0) {
    busy(false);
    return;
  }
  submit.disabled = true;
  submit.textContent = `Try again in ${seconds} s`;
  setTimeout(() => countDown(seconds - 1), 1000);
}

function showPassword(visible) {
  password.type = visible ? "text" : "password";
  reveal.textContent = visible ? "Hide" : "Show";
  reveal.setAttribute("aria-pressed", String(visible));
}
