// What the page asks of the server. The token never leaves this module: not into storage, a cookie
// or the address, where other scripts, the disk or a log could find it.

const TIMEOUT_MS = 20_000;

let token = null;

/** Why there is no answer to show. `kind` says what a view can do about it: credentials, session,
 *  sign-in, permission, refused, busy, timeout, network, fault or unexpected. `reasons` are those of
 *  single fields, by their names. */
export class Failure extends Error {
  constructor(kind, sentence, { retryAfter = 0, requestId = null, reasons = {} } = {}) {
    super(sentence);
    this.kind = kind;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
    this.reasons = reasons;
  }
}

/** Signs in; gives for how many seconds. */
export async function signIn(username, password) {
  forget();
  const answer = await ask("POST", "/jwt", { username, password });
  if (answer.status === 401) {
    throw new Failure("credentials", "User name, password or code is incorrect.");
  }
  if (answer.status === 429) {
    throw busy(
      answer,
      "Too many sign-ins have failed, with this user name or from your network. Your password was not looked at.",
    );
  }
  const issued = await read(answer);
  if (typeof issued?.access_token !== "string" || typeof issued.expires_in !== "number") {
    throw unexpected(answer);
  }
  token = issued.access_token;
  return issued.expires_in;
}

/** The pay that the caller may see, as an array of { username, salary }, and when it was given. */
export async function listPay() {
  const answer = await ask("GET", "/bearer");
  if (answer.status === 401) throw unauthorised(answer);
  if (answer.status === 403) {
    throw new Failure("permission", "You are signed in, and no grant lets you see pay.");
  }
  // A proxy's own 503 knows nothing of the audit trail.
  if (answer.status === 503 && (await detailOf(answer))) {
    throw busy(answer, "This look could not be recorded in the audit trail, so no pay is shown.");
  }
  const rows = await read(answer);
  const good = (row) => typeof row?.username === "string" && typeof row?.salary === "string";
  if (!Array.isArray(rows) || !rows.every(good)) {
    throw unexpected(answer);
  }
  return { rows, given: timeOf(answer) };
}

/** Until when the caller must have changed a password that was made for them, or null. */
export async function passwordExpires() {
  const answer = await ask("GET", "/me");
  if (answer.status === 401) throw unauthorised(answer);
  const me = await read(answer);
  if (me?.password_expires === null) return null;
  const end = new Date(me?.password_expires);
  if (Number.isNaN(end.getTime())) throw unexpected(answer);
  return end;
}

/** Changes the caller's own password. */
export async function changePassword(old, changed) {
  const answer = await ask("PUT", "/me/password", { old, new: changed });
  if (answer.status === 401) throw unauthorised(answer);
  if (answer.status === 403) {
    const reasons = { old: "This is not your password." };
    throw new Failure("refused", reasons.old, { reasons });
  }
  if (!answer.ok) throw await failureOf(answer);
}

/** Ends the session on the server. The token is gone from here whatever happens. */
export async function signOut() {
  const ending = ask("DELETE", "/jwt");
  forget();
  const answer = await ending;
  // 401: it had ended already.
  if (answer.status !== 204 && answer.status !== 401) {
    throw await failureOf(answer);
  }
}

/** Who the caller is, and how they stand with a second factor. */
export function whoAmI() {
  return act("GET", "/me");
}

/** Asks for what the caller may do about themselves; gives the answer's JSON, or null where it has
 *  none. */
export async function act(method, path, body) {
  const answer = await ask(method, path, body);
  if (answer.status === 401) {
    const challenge = answer.headers.get("WWW-Authenticate") ?? "";
    if (challenge.includes("insufficient_user_authentication")) {
      throw new Failure("old", "You signed in too long ago for this. Sign out, and in again.");
    }
    throw new Failure("session", "Your session has ended. Sign in again.");
  }
  return answer.status === 204 ? null : read(answer);
}

/** Who has seen the caller's pay, newest first, below a record's number: { looks, next, archivedBefore },
 *  `next` being where the earlier ones begin, or null. */
export async function listReaders(after) {
  const answer = await ask("GET", `/me/readers?limit=50${after ? `&after=${after}` : ""}`);
  if (answer.status === 401) {
    throw new Failure("session", "Your session has ended. Sign in again.");
  }
  const body = await read(answer);
  const good = (look) => typeof look?.actor === "string" && Array.isArray(look.grants);
  if (!Array.isArray(body?.readers) || !body.readers.every(good)) throw unexpected(answer);
  const next = /[?&]after=(\d+)[^>]*>; rel="next"/.exec(answer.headers.get("Link") ?? "");
  return { looks: body.readers, next: next && next[1], archivedBefore: body.archived_before };
}

/** Drops the token. */
export function forget() {
  token = null;
}

async function ask(method, path, body, signedIn = true) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch(path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw interrupted(error);
  }
}

/** An answer to whoever has signed in: not at all any more, or not lately enough for this. */
async function readSigned(answer) {
  await mustBeSignedIn(answer);
  return read(answer);
}

async function done(answer) {
  await mustBeSignedIn(answer);
  if (!answer.ok) throw await failureOf(answer);
}

async function mustBeSignedIn(answer) {
  if (answer.status !== 401) return;
  const challenge = answer.headers.get("WWW-Authenticate") ?? "";
  if (challenge.includes("insufficient_user_authentication")) {
    throw new Failure("stale", "Your sign-in is too long ago for this. Sign out and in again, then repeat it.");
  }
  throw new Failure("session", "Your session has ended. Sign in again.");
}

async function read(answer) {
  if (!answer.ok) throw await failureOf(answer);
  try {
    return await answer.json();
  } catch (error) {
    throw error instanceof SyntaxError ? unexpected(answer) : interrupted(error);
  }
}

function interrupted(error) {
  return error.name === "TimeoutError"
    ? new Failure("timeout", "The server has not answered in time.")
    : new Failure("network", "The server cannot be reached.");
}

/** By the server's clock, as in the audit trail; this machine's may be wrong. */
function timeOf(answer) {
  const time = Date.parse(answer.headers.get("Date") ?? "");
  return new Date(Number.isNaN(time) ? Date.now() : time);
}

async function failureOf(answer) {
  const detail = await detailOf(answer);
  if (answer.status === 429) return busy(answer, detail ?? "There were too many attempts.");
  if (answer.status === 503) return busy(answer, detail ?? "The server cannot answer now.");
  if (answer.status >= 500) {
    const requestId = answer.headers.get("X-Request-Id");
    return new Failure("fault", `The server failed (status ${answer.status}).`, { requestId });
  }
  // A sentence from the server says more than a status.
  if (!detail) return unexpected(answer);
  return new Failure("refused", detail, { reasons: await reasonsOf(answer) });
}

/** The session has ended, or the sign-in is too long ago for this (RFC 9470). */
function unauthorised(answer) {
  const challenge = answer.headers.get("WWW-Authenticate") ?? "";
  return challenge.includes("insufficient_user_authentication")
    ? new Failure("sign-in", "You signed in too long ago for this. Sign in again.")
    : new Failure("session", "Your session has ended. Sign in again.");
}

/** What is wrong with each field, as sentences. */
async function reasonsOf(answer) {
  try {
    const { errors } = await answer.clone().json();
    const sentence = (reason) => reason.charAt(0).toUpperCase() + reason.slice(1) + ".";
    return Object.fromEntries((errors ?? []).map(({ field, reason }) => [field, sentence(reason)]));
  } catch {
    // As in detailOf, which has read it already.
    return {};
  }
}

function busy(answer, sentence) {
  const seconds = Number.parseInt(answer.headers.get("Retry-After") ?? "", 10);
  return new Failure("busy", sentence, {
    retryAfter: Number.isFinite(seconds) ? seconds : 5,
    requestId: answer.status === 503 ? answer.headers.get("X-Request-Id") : null,
  });
}

async function detailOf(answer) {
  try {
    // A body can be read only once, and more than one may ask here.
    const { detail } = await answer.clone().json();
    if (typeof detail === "string") return detail.replace(/\.?$/, ".");
  } catch {
    // A proxy's own page, say. The status says enough.
  }
  return null;
}

function unexpected(answer) {
  const requestId = answer.headers.get("X-Request-Id");
  const sentence = `The server answered in a way that this page does not understand (status ${answer.status}).`;
  return new Failure("unexpected", sentence, { requestId });
}
