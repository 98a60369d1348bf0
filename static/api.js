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

/** Signs in; gives for how many seconds, and who has signed in. */
export async function signIn(username, password, code) {
  // What is not asked for is not sent, and who uses no code need not know of it.
  const answer = await ask("POST", "/jwt", { username, password, ...(code && { code }) }, null);
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
  const me = await knownOrEnded(issued.access_token);
  token = issued.access_token;
  return { seconds: issued.expires_in, me };
}

/** Whose a new session is. One of which this cannot be said is ended again, since nobody would use
 *  it or end it. */
async function knownOrEnded(bearer) {
  try {
    return await read(await askSignedIn("GET", "/me", undefined, bearer), meOf);
  } catch (failure) {
    try {
      await end(bearer);
    } catch {
      failure.message += " A session of yours may stay open on the server until its time is up.";
    }
    throw failure;
  }
}

/** The pay that the caller may see, as an array of { username, salary }, and when it was given. */
export async function listPay() {
  const answer = await askSignedIn("GET", "/bearer");
  if (answer.status === 403) {
    throw new Failure("permission", "You are signed in, and no grant lets you see pay.");
  }
  // A proxy's own 503 knows nothing of the audit trail.
  if (answer.status === 503 && (await detailOf(answer))) {
    throw busy(answer, "This look could not be recorded in the audit trail, so no pay is shown.");
  }
  const good = (row) => typeof row?.username === "string" && typeof row?.salary === "string";
  const rows = await read(answer, (rows) => Array.isArray(rows) && rows.every(good) && rows);
  return { rows, given: timeOf(answer) };
}

/** Who the caller is: the permissions that their token gives them now, over somebody; until when
 *  they must have changed a password that was made for them, or null; and how they stand with a
 *  second factor. */
export async function whoAmI() {
  return read(await askSignedIn("GET", "/me"), meOf);
}

/** Changes the caller's own password. */
export async function changePassword(old, changed) {
  const answer = await askSignedIn("PUT", "/me/password", { old, new: changed });
  if (answer.status === 403) {
    const reasons = { old: "This is not your password." };
    throw new Failure("refused", reasons.old, { reasons });
  }
  await done(answer);
}

/** Makes the secret of a second factor, which is on once a code of it has come back. */
export async function startFactor() {
  const good = (made) => typeof made?.secret === "string" && typeof made.uri === "string"
    && typeof made.qr?.path === "string" && typeof made.qr.size === "number" && made;
  return read(await askSignedIn("POST", "/me/totp"), good);
}

/** Turns the second factor on; gives its recovery codes. */
export async function confirmFactor(code) {
  return read(await askSignedIn("POST", "/me/totp/confirm", { code }), recoveryCodesOf);
}

/** Makes new recovery codes in the place of the old. */
export async function renewRecoveryCodes() {
  return read(await askSignedIn("POST", "/me/totp/recovery-codes"), recoveryCodesOf);
}

/** Turns the second factor off. */
export async function turnFactorOff(password, code) {
  await done(await askSignedIn("DELETE", "/me/totp", { password, code }));
}

/** The caller's live sessions and machine tokens, the newest first, and whether there are more. */
export async function listSessions() {
  const answer = await askSignedIn("GET", "/me/sessions");
  const good = (one) => typeof one?.id === "string" && typeof one.until === "string" && Array.isArray(one.perms);
  const sessions = await read(answer, (all) => Array.isArray(all) && all.every(good) && all);
  return { sessions, more: answer.headers.has("Link") };
}

/** Ends a session or a machine token of the caller's. */
export async function endSession(id) {
  await done(await askSignedIn("DELETE", `/me/sessions/${encodeURIComponent(id)}`));
}

/** Ends all of them. */
export async function endAllSessions() {
  await done(await askSignedIn("DELETE", "/me/sessions"));
}

/** Makes a machine token; gives it, and what it is. */
export async function makeToken(name, until, perms) {
  const answer = await askSignedIn("POST", "/me/tokens", { name, until, perms });
  return read(answer, (made) => typeof made?.access_token === "string" && made);
}

/** Ends the session on the server. The token is gone from here whatever happens. */
export async function signOut() {
  const ending = end(token);
  forget();
  await ending;
}

async function end(bearer) {
  const answer = await ask("DELETE", "/jwt", undefined, bearer);
  // 401: it had ended already.
  if (answer.status !== 401) await done(answer);
}

/** Who has seen the caller's pay, newest first, below a record's number: { looks, next, archivedBefore },
 *  `next` being where the earlier ones begin, or null. */
export async function listReaders(after) {
  const answer = await askSignedIn("GET", `/me/readers?limit=50${after ? `&after=${after}` : ""}`);
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

/** Asks as somebody who has signed in, and fails for want of that: not at all any more, or not
 *  lately enough for this (RFC 9470). */
async function askSignedIn(method, path, body, bearer = token) {
  const answer = await ask(method, path, body, bearer);
  if (answer.status !== 401) return answer;
  const challenge = answer.headers.get("WWW-Authenticate") ?? "";
  throw challenge.includes("insufficient_user_authentication")
    ? new Failure("sign-in", "You signed in too long ago for this. Sign out, and in again.")
    : new Failure("session", "Your session has ended. Sign in again.");
}

async function ask(method, path, body, bearer) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
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

/** What `take` makes of a good answer; it gives nothing for what it does not understand. */
async function read(answer, take = (sent) => sent) {
  await done(answer);
  let sent;
  try {
    sent = await answer.json();
  } catch (error) {
    throw error instanceof SyntaxError ? unexpected(answer) : interrupted(error);
  }
  const taken = take(sent);
  if (!taken) throw unexpected(answer);
  return taken;
}

async function done(answer) {
  if (!answer.ok) throw await failureOf(answer);
}

function meOf(sent) {
  if (!Array.isArray(sent?.perms) || typeof sent.second_factor?.on !== "boolean") return null;
  const expires = sent.password_expires === null ? null : new Date(sent.password_expires);
  if (Number.isNaN(expires?.getTime())) return null;
  return { perms: sent.perms, factor: sent.second_factor, passwordExpires: expires };
}

function recoveryCodesOf(sent) {
  return Array.isArray(sent?.recovery_codes) && sent.recovery_codes;
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
