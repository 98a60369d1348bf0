// The account view: what somebody keeps for themselves, each part of it in a module of its own.

import * as factor from "./factor.js";
import * as password from "./password.js";
import * as sessions from "./sessions.js";

const byId = (id) => document.getElementById(id);
const title = byId("account-title");
const back = byId("close-account");
const others = byId("other-parts");

/** `leave` takes a sentence that says why; `goOn` goes to what a password was needed for. */
export function connect({ leave, goOn }) {
  // Whoever changes how they sign in ends what was opened before, which may no longer be shown as open.
  const changed = () => sessions.load();
  password.connect({ leave, changed, goOn });
  factor.connect({ leave, changed });
  sessions.connect({ leave });
}

/** Shows the view to a user, who may have to choose a password before anything else. */
export function show(name, mustChangeUntil) {
  clear();
  const isForced = mustChangeUntil !== null;
  back.hidden = isForced;
  title.textContent = isForced ? "Choose your own password" : "Account";
  title.focus();
  password.show(name, mustChangeUntil);
  others.hidden = isForced;
  if (isForced) return;
  factor.load(name);
  sessions.load();
}

/** Forgets all that was shown, told or typed: there are secrets among it. */
export function clear() {
  for (const part of [password, factor, sessions]) part.clear();
  others.hidden = true;
}
