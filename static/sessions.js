// The caller's sessions and machine tokens: what is open in their name, ending it, and a token for a
// script.

import { endAllSessions, endSession, listPermissions, listSessions, makeToken } from "./api.js";
import { explain, isWaiting, text, wait } from "./dom.js";

const byId = (id) => document.getElementById(id);
const [notice, loading, failed, listing, list] =
  ["sessions-notice", "sessions-loading", "sessions-error", "sessions-listing", "session-list"].map(byId);
const [form, name, until, perms, refused, submit] =
  ["make-token", "token-name", "token-until", "token-perms", "make-token-error", "make-token-submit"].map(byId);
const [minted, mintedToken, copied, confirm, endAll] =
  ["minted", "minted-token", "copied", "confirm-end-all", "end-all"].map(byId);
const rowTemplate = byId("session-row").content.firstElementChild;
const boxes = [...perms.querySelectorAll("input")];

const DAY_MS = 24 * 60 * 60 * 1000;
/** As the server has it. */
const LONGEST_DAYS = 366;
const PERMISSIONS = { read: "sees pay", write: "records pay", audit: "reads the audit trail", manage: "manages people" };

/** Counts visits, so that an answer that comes after this view was left is not shown. */
let visit = 0;
let leave = () => {};

/** Connects the controls. Calls back when the session has ended. */
export function connect(sessionEnded) {
  leave = sessionEnded;
  endAll.addEventListener("click", () => isWaiting(endAll) || confirm.showModal());
  confirm.addEventListener("close", () => {
    if (confirm.returnValue === "end") endEverything();
    confirm.returnValue = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isWaiting(submit)) make();
  });
  byId("copy-token").addEventListener("click", copy);
  byId("hide-token").addEventListener("click", () => {
    hideToken();
    byId("sessions-title").focus();
  });
}

/** Asks the server what is open, and what a token could be given. */
export async function load() {
  clear();
  const here = visit;
  text(loading, "Asking for your sessions…");
  const [first, last] = [new Date(), new Date(Date.now() + LONGEST_DAYS * DAY_MS)].map(dayOf);
  Object.assign(until, { min: first, max: last, value: dayOf(new Date(Date.now() + 90 * DAY_MS)) });
  await attempt(here, async () => {
    const [held] = await Promise.all([listPermissions(), refresh(here)]);
    if (here !== visit) return;
    const grantable = boxes.filter((box) => held.includes(box.value));
    for (const box of boxes) box.closest("label").hidden = !grantable.includes(box);
    form.hidden = grantable.length === 0;
  });
  if (here === visit) text(loading, "");
}

/** Forgets all that was shown, told or typed. */
export function clear() {
  visit += 1;
  if (confirm.open) confirm.close("");
  list.replaceChildren();
  listing.hidden = true;
  form.hidden = true;
  form.reset();
  hideToken();
  refuse("");
  for (const element of [notice, failed, loading]) text(element, "");
  for (const button of [endAll, submit]) wait(button, false);
}

async function refresh(here) {
  const { sessions, more } = await listSessions();
  if (here !== visit) return;
  list.replaceChildren(...sessions.map(rowOf));
  byId("sessions-more").hidden = !more;
  listing.hidden = false;
}

function rowOf(session) {
  const row = rowTemplate.cloneNode(true);
  const title = session.kind === "machine" ? session.name : "Sign-in";
  const tag = session.this ? "This session" : session.kind === "machine" ? "Token" : "";
  row.querySelector("bdi").textContent = title;
  text(row.querySelector(".tag"), tag);
  const facts = [
    session.client === "local" ? "From the command line" : `From ${session.client}`,
    `opened ${written(session.created_at)}`,
    session.last_used_at ? `last used ${written(session.last_used_at)}` : "not used yet",
    `ends ${written(session.until)}`,
  ];
  if (session.kind === "machine") {
    facts.push(session.perms.map((perm) => PERMISSIONS[perm] ?? perm).join(", "));
  }
  if (session.second_factor) facts.push("with a second factor");
  row.querySelector(".session-facts").textContent = facts.join(" · ");
  const button = row.querySelector("button");
  button.textContent = session.this ? "Sign out" : "End";
  button.setAttribute("aria-label", `${button.textContent}: ${title}, opened ${written(session.created_at)}`);
  button.addEventListener("click", () => isWaiting(button) || endOne(session, title, button));
  return row;
}

async function endOne(session, title, button) {
  const here = visit;
  wait(button, true);
  await attempt(here, async () => {
    await endSession(session.id);
    if (session.this) return leave("You have signed out.");
    await refresh(here);
    if (here !== visit) return;
    text(notice, `${title} has ended.`);
    // The button that was pressed is gone.
    byId("sessions-title").focus();
  });
  wait(button, false);
}

async function endEverything() {
  const here = visit;
  wait(endAll, true);
  await attempt(here, async () => {
    await endAllSessions();
    leave("You have signed out everywhere, and your tokens have ended.");
  });
  wait(endAll, false);
}

async function make() {
  const here = visit;
  const chosen = boxes.filter((box) => box.checked && !box.closest("label").hidden).map((box) => box.value);
  const missing = [[name, "Give the token a name."], [until, "Choose its last day."]].find(([field]) => !field.value);
  if (missing) return refuse(missing[1], missing[0]);
  if (chosen.length === 0) return refuse("Choose what it may do.", boxes.find((box) => !box.closest("label").hidden));
  refuse("");
  hideToken();
  wait(submit, true);
  submit.textContent = "Making it…";
  try {
    const made = await makeToken(name.value, until.value, chosen);
    // Nobody is there to copy it; it is in the list, and can be ended.
    if (here !== visit) return;
    text(notice, "");
    text(failed, "");
    name.value = "";
    mintedToken.value = made.access_token;
    byId("minted-title").textContent = `Your new token “${made.name}”`;
    minted.hidden = false;
    byId("minted-title").focus();
    await attempt(here, () => refresh(here));
  } catch (failure) {
    if (here !== visit) return;
    if (failure.kind === "session") return leave(failure.message);
    refuse(explain(failure), submit);
  } finally {
    wait(submit, false);
    submit.textContent = "Make the token";
  }
}

async function copy() {
  mintedToken.select();
  try {
    await navigator.clipboard.writeText(mintedToken.value);
    copied.textContent = "Copied.";
  } catch {
    // Plain HTTP, or a browser that does not let pages write there.
    mintedToken.focus();
    copied.textContent = "The token is selected: copy it by keyboard.";
  }
}

function hideToken() {
  mintedToken.value = "";
  copied.textContent = "";
  byId("minted-title").textContent = "Your new token";
  minted.hidden = true;
}

/** Does something, and says why if it did not work. */
async function attempt(here, act) {
  try {
    text(failed, "");
    await act();
  } catch (failure) {
    if (here !== visit) return;
    if (failure.kind === "session") return leave(failure.message);
    text(notice, "");
    text(failed, explain(failure));
  }
}

function refuse(sentence, field) {
  text(refused, sentence);
  for (const input of [name, until]) input.setAttribute("aria-invalid", String(input === field));
  field?.focus();
}

/** A day as the server has it, in UTC. */
function dayOf(date) {
  return date.toISOString().slice(0, 10);
}

function written(moment) {
  return new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" }).format(new Date(moment));
}
