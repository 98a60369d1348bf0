// Small helpers that every view uses. All data becomes text, never markup.

/** Shows a sentence in an element, or hides the element when there is none. */
export function text(element, sentence) {
  element.textContent = sentence;
  element.hidden = sentence === "";
}

/** Shows exactly one of several elements, or none. */
export function showOnly(shown, elements) {
  for (const element of elements) element.hidden = element !== shown;
}

/** Says in `error` what is wrong, and of which of a form's fields; that gets the focus, as a button
 *  may instead. An empty sentence takes it back. Beside what a field is described by anyway. */
export function refuse(error, sentence, fields, wrong) {
  text(error, sentence);
  for (const field of fields) {
    const isWrong = field === wrong;
    const own = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== error.id);
    const hints = isWrong ? [error.id, ...own] : own;
    field.setAttribute("aria-invalid", String(isWrong));
    if (hints.length) field.setAttribute("aria-describedby", hints.join(" "));
    else field.removeAttribute("aria-describedby");
  }
  if (!wrong) return;
  // Where whoever sees but a small part of a form has their eyes.
  (wrong.closest(".field, fieldset, .buttons") ?? wrong).before(error);
  wrong.focus();
  // What was typed is typed over.
  wrong.select?.();
}

/** Says why it did not work: beside the field of which the server says so, of several by its names
 *  for them; or else beside `otherwise`, which the focus stays with. */
export function refuseBy(error, failure, fields, otherwise) {
  const all = Object.values(fields);
  const name = Object.keys(fields).find((name) => failure.reasons?.[name]);
  if (name) refuse(error, failure.reasons[name], all, fields[name]);
  else refuse(error, explain(failure), all, otherwise);
}

/** Lets a button wait. Not `disabled`, which would drop the focus of whoever has just pressed it. */
export function wait(button, waiting) {
  button.setAttribute("aria-disabled", String(waiting));
}

export function isWaiting(button) {
  return button.getAttribute("aria-disabled") === "true";
}

/** Counts down on a button to the moment that the server has named; then calls back.
 *  Gives a function that stops it. By the clock, since timers sleep when the machine does. */
export function countDown(button, seconds, done) {
  const end = Date.now() + seconds * 1000;
  let timer = 0;
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    if (left <= 0) return done();
    const minutes = Math.floor(left / 60);
    button.textContent = `Try again in ${minutes ? `${minutes} min ` : ""}${left % 60} s`;
    timer = setTimeout(tick, 1000);
  };
  wait(button, true);
  tick();
  return () => clearTimeout(timer);
}

/** A failure as a sentence, with the request's id where an operator will want it. */
export function explain(failure) {
  if (!failure.kind) throw failure;
  const id = failure.requestId ? ` Request id ${failure.requestId}.` : "";
  return failure.message + id;
}
