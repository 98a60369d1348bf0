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

/** A failure as a sentence, with the request's id where an operator will want it. */
export function explain(failure) {
  if (!failure.kind) throw failure;
  const id = failure.requestId && failure.kind === "unexpected" ? ` Request ${failure.requestId}.` : "";
  return failure.message + id;
}
