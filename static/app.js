// The page: which view is shown, and for whom.

import * as account from "./account.js";
import { forget, signOut } from "./api.js";
import { explain, showOnly, text } from "./dom.js";
import * as pay from "./pay.js";
import * as readers from "./readers.js";
import * as signin from "./signin.js";

const byId = (id) => document.getElementById(id);
const views = [byId("sign-in-view"), byId("table-view"), byId("account-view"), byId("readers-view")];
const notice = byId("notice");

/** setTimeout takes 31 bits of milliseconds, and a session may be longer. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;
let expiry = 0;
let expiresAt = Infinity;

/** Whoever has signed in chooses a password of their own first, if theirs was made for them. */
function enter(username, seconds, mustChangeUntil) {
  byId("who").textContent = username;
  byId("account").hidden = false;
  byId("open-account").hidden = mustChangeUntil !== null;
  text(notice, "");
  expiresAt = Date.now() + seconds * 1000;
  leaveWhenExpired();
  if (mustChangeUntil) showAccount(mustChangeUntil);
  else showPay();
}

function showPay() {
  account.clear();
  readers.clear();
  byId("open-account").hidden = false;
  document.title = "Pay you may see · Stipend";
  showOnly(byId("table-view"), views);
  byId("table-title").focus();
  pay.load(leave);
}

function showReaders() {
  pay.clear();
  account.clear();
  document.title = "Who has seen your pay · Stipend";
  showOnly(byId("readers-view"), views);
  readers.show(byId("who").textContent);
}

function showAccount(mustChangeUntil) {
  pay.clear();
  readers.clear();
  document.title = "Account · Stipend";
  showOnly(byId("account-view"), views);
  account.show(byId("who").textContent, mustChangeUntil);
}

function leaveWhenExpired() {
  clearTimeout(expiry);
  const left = expiresAt - Date.now();
  if (left <= 0) {
    leave("Your session has ended, as every session does after its time. Sign in again.");
  } else if (left < Infinity) {
    expiry = setTimeout(leaveWhenExpired, Math.min(left, LONGEST_TIMEOUT_MS));
  }
}

/** Back to the sign-in, with everything that was seen or typed gone from the page. */
function leave(sentence) {
  clearTimeout(expiry);
  expiresAt = Infinity;
  forget();
  pay.clear();
  account.clear();
  readers.clear();
  signin.clear();
  byId("who").textContent = "";
  byId("account").hidden = true;
  document.title = "Sign in · Stipend";
  showOnly(byId("sign-in-view"), views);
  text(notice, sentence);
  signin.focus();
}

signin.onSignIn(enter);
pay.connect(leave);
account.connect({ leave, goOn: showPay });
readers.connect(leave);

byId("open-account").addEventListener("click", () => showAccount(null));
byId("close-account").addEventListener("click", showPay);
byId("open-readers").addEventListener("click", showReaders);
byId("close-readers").addEventListener("click", showPay);
byId("sign-out").addEventListener("click", async () => {
  const ending = signOut();
  leave("Signing out…");
  try {
    await ending;
    text(notice, "You have signed out.");
  } catch (failure) {
    text(notice, `${explain(failure)} This page has forgotten you, but your session may stay open on the server until its time is up.`);
  }
});

// Timers sleep when the machine does; whoever wakes it must not find an ended session's pay.
document.addEventListener("visibilitychange", leaveWhenExpired);

// A page that the browser keeps for its Back button must not keep anybody's pay.
addEventListener("pagehide", () => leave(""));

signin.focus();
