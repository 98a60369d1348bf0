// The table of the pay that the caller may see.

import { listPay } from "./api.js";
import { countDown, explain, isWaiting, showOnly, text, wait } from "./dom.js";

const byId = (id) => document.getElementById(id);
const [loading, failed, nothing, listing] = ["loading", "table-error", "nothing", "listing"].map(byId);
const states = [loading, failed, nothing, listing];
const [table, search, count, refresh, retry] = ["pay", "search", "count", "refresh", "retry"].map(byId);
const body = table.tBodies[0];
const rowTemplate = byId("row").content.firstElementChild;
const sortButtons = [...table.tHead.querySelectorAll("button")];
const collator = new Intl.Collator("en", { numeric: true });

/** So many rows are drawn at a time: enough to read, few enough to be drawn at once. */
const CHUNK = 500;

let people = [];
let matching = [];
let drawn = 0;
let sort = { key: "username", descending: false };
/** Counts requests, so that an answer that comes after a later question is not shown. */
let asked = 0;
let stopCountDown = () => {};

/** Asks the server, and shows what it says. Calls back when the session has ended. */
export async function load(sessionEnded) {
  const question = ++asked;
  const retried = document.activeElement === retry;
  reset();
  showOnly(loading, states);
  wait(refresh, true);
  try {
    const { rows, given } = await listPay();
    if (question !== asked) return;
    people = rows.map((row) => ({ ...row, ...amountOf(row.salary) })).sort(compare);
    text(byId("recorded"), `This look was recorded in the audit trail. ${written(given)}`);
    showOnly(people.length ? listing : nothing, states);
    draw();
    // The button that was pressed is gone.
    if (retried) byId("table-title").focus();
  } catch (failure) {
    if (question !== asked) return;
    if (failure.kind === "session") return sessionEnded(failure.message);
    // The record is written before an answer leaves, and this one may have been on its way.
    const doubt = failure.kind === "timeout" ? " This look may have been recorded." : "";
    byId("table-error-text").textContent = explain(failure) + doubt;
    retry.hidden = failure.kind === "permission";
    showOnly(failed, states);
    if (retried) (retry.hidden ? byId("table-title") : retry).focus();
    if (failure.retryAfter) stopCountDown = countDown(retry, failure.retryAfter, readyToRetry);
  } finally {
    // Refresh asks the same question, so it waits as long as the other button does.
    if (question === asked) wait(refresh, isWaiting(retry));
  }
}

/** Forgets all rows and takes them off the page. */
export function clear() {
  asked += 1;
  reset();
  search.value = "";
  sortBy("username", false);
  showOnly(null, states);
}

/** Connects the controls. */
export function connect(sessionEnded) {
  for (const button of [refresh, retry]) {
    button.addEventListener("click", () => isWaiting(button) || load(sessionEnded));
  }
  search.addEventListener("input", draw);
  byId("clear-search").addEventListener("click", () => {
    search.value = "";
    draw();
    search.focus();
  });
  byId("show-more").addEventListener("click", () => {
    const first = drawn;
    drawMore(CHUNK);
    // The button moves away, or is gone after the last chunk, so reading goes on in the new rows.
    const name = body.rows[first].cells[0];
    name.tabIndex = -1;
    name.focus();
  });
  for (const button of sortButtons) {
    button.addEventListener("click", () => {
      const key = button.dataset.sort;
      sortBy(key, sort.key === key && !sort.descending);
      people.sort(compare);
      draw();
    });
  }
  // Paper cannot be asked for more.
  let drawnOnScreen = 0;
  addEventListener("beforeprint", () => {
    drawnOnScreen = drawn;
    drawMore(matching.length);
  });
  addEventListener("afterprint", () => redraw(drawnOnScreen));
}

function reset() {
  people = [];
  matching = [];
  drawn = 0;
  body.replaceChildren();
  text(byId("recorded"), "");
  readyToRetry();
}

function readyToRetry() {
  stopCountDown();
  wait(retry, false);
  wait(refresh, false);
  retry.textContent = "Try again";
}

function draw() {
  const wanted = search.value.trim().toLowerCase();
  matching = people.filter((person) => person.username.toLowerCase().includes(wanted));
  const noun = people.length === 1 ? "person" : "people";
  count.textContent = `${matching.length.toLocaleString()} of ${people.length.toLocaleString()} ${noun}`;
  byId("no-match").hidden = matching.length > 0;
  byId("no-match-text").textContent = search.value;
  redraw(CHUNK);
}

function redraw(wanted) {
  drawn = 0;
  body.replaceChildren();
  drawMore(wanted);
}

function drawMore(wanted) {
  const next = matching.slice(drawn, drawn + wanted);
  body.append(...next.map(rowOf));
  drawn += next.length;
  const left = matching.length - drawn;
  byId("more").hidden = left === 0;
  byId("show-more").textContent =
    `Show ${Math.min(left, CHUNK).toLocaleString()} more of ${left.toLocaleString()}`;
}

function rowOf({ username, salary }) {
  const row = rowTemplate.cloneNode(true);
  row.querySelector("th bdi").textContent = username;
  row.querySelector("td bdi").textContent = salary;
  return row;
}

function sortBy(key, descending) {
  sort = { key, descending };
  for (const button of sortButtons) {
    const header = button.closest("th");
    if (button.dataset.sort === key) {
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    } else {
      header.removeAttribute("aria-sort");
    }
  }
}

function compare(a, b) {
  const byName = collator.compare(a.username, b.username);
  const order = sort.key === "username" ? byName : compareAmounts(a, b) || byName;
  return sort.descending ? -order : order;
}

/** Amounts are compared within a currency; currencies are kept together, since they do not mix. */
function compareAmounts(a, b) {
  return collator.compare(a.currency, b.currency) || a.amount - b.amount;
}

/** With the time zone, since the page may be printed and read elsewhere. */
function written(time) {
  return time.toLocaleString([], {
    year: "numeric", month: "short", day: "numeric",
    hour: "numeric", minute: "2-digit", timeZoneName: "short",
  });
}

/** `$2000.00`, `-$5.00`, `CHF -5.00`: the sign of the currency, and the number. Only for sorting. */
function amountOf(salary) {
  const currency = salary.replace(/[-\d.\s]/g, "");
  return { currency, amount: Number(salary.replace(/[^-\d.]/g, "")) };
}
