// Who has seen the caller's pay: the looks, newest first.

import { listReaders } from "./api.js";
import { countDown, explain, isWaiting, showOnly, text, wait } from "./dom.js";

const byId = (id) => document.getElementById(id);
const [loading, failed, nothing, list] = ["readers-loading", "readers-error", "no-readers", "readers"].map(byId);
const states = [loading, failed, nothing, list];
const [title, note, more, earlier, retry] = ["readers-title", "readers-note", "more-readers", "earlier", "readers-retry"].map(byId);
const template = byId("look").content.firstElementChild;

/** What somebody was shown, by what the server calls it. */
const SEEN = {
  list: "saw it in a list",
  history: "saw its history",
  sum: "saw it in a sum",
  export: "exported it to a file",
  import: "compared it with a file",
};

let myself = "";
let next = null;
/** Counts questions, so that an answer that comes after a later one is not shown. */
let asked = 0;
let stopCountDown = () => {};

/** Shows the view to somebody. */
export function show(username) {
  clear();
  myself = username;
  title.focus();
  load();
}

/** Forgets all that was told. */
export function clear() {
  asked += 1;
  myself = "";
  next = null;
  list.replaceChildren();
  more.hidden = true;
  text(note, "");
  readyToRetry();
  showOnly(null, states);
}

/** Connects the controls. */
export function connect(leave) {
  sessionEnded = leave;
  retry.addEventListener("click", () => isWaiting(retry) || load());
  earlier.addEventListener("click", () => isWaiting(earlier) || load());
}

let sessionEnded = () => {};

async function load() {
  const question = ++asked;
  const retried = document.activeElement === retry;
  const wentOn = document.activeElement === earlier;
  readyToRetry();
  failed.hidden = true;
  wait(earlier, true);
  if (!list.childElementCount) showOnly(loading, states);
  try {
    const found = await listReaders(next);
    if (question !== asked) return;
    const first = list.childElementCount;
    list.append(...found.looks.map(itemOf));
    next = found.next;
    more.hidden = next === null;
    const archived = found.archivedBefore
      ? `Looks from before ${found.archivedBefore} may be in an archive, and so not here: ask whoever runs this server.`
      : "";
    text(note, archived);
    byId("no-readers-text").textContent = archived
      ? "There is no look on record since then." : "There is no look at it on record. When there is one, it will stand here.";
    showOnly(list.childElementCount ? list : nothing, states);
    if (wentOn || retried) {
      const item = list.children[first] ?? title;
      item.tabIndex = -1;
      item.focus();
    }
  } catch (failure) {
    if (question !== asked) return;
    if (failure.kind === "session") return sessionEnded(failure.message);
    byId("readers-error-text").textContent = explain(failure);
    // What is shown already stays.
    failed.hidden = false;
    loading.hidden = true;
    if (wentOn || retried) retry.focus();
    if (failure.retryAfter) stopCountDown = countDown(retry, failure.retryAfter, readyToRetry);
  } finally {
    if (question === asked) wait(earlier, false);
  }
}

function readyToRetry() {
  stopCountDown();
  wait(retry, false);
  retry.textContent = "Try again";
}

function itemOf(look) {
  const item = template.cloneNode(true);
  item.querySelector(".look-who").textContent = nameOf(look);
  item.querySelector(".look-what").textContent = SEEN[look.seen_as] ?? look.seen_as;
  const time = item.querySelector("time");
  time.dateTime = look.at;
  time.textContent = new Date(look.at).toLocaleString([], {
    year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short",
  });
  item.querySelector(".look-why").textContent = why(look);
  return item;
}

function nameOf({ actor, token }) {
  const who = actor === "operator" ? "operator (on the server itself)" : actor === myself ? "You" : actor;
  return token ? `${who}, by the script “${token}”` : who;
}

function why({ grants, as_of: day, request_id: id }) {
  const told = grants.map(({ id: grant, reach, reason }) =>
    reach ? `grant ${grant} over ${reach}${reason ? ` (“${reason}”)` : ""}` : `grant ${grant}`);
  const by = told.length ? `By ${told.join("; by ")}. ` : "";
  return `${by}${day ? `Pay as of ${day}. ` : ""}Request ${id}.`;
}
