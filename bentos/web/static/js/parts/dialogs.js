// Modal dialogues: one shape for all, and the question before something is removed.

import { button, h, newId } from "../core/dom.js";

/** A modal dialogue with a heading and a close button; it leaves the document when it is closed. */
export function openDialog({ title, wide = false, onClose = () => {} }, ...content) {
  const id = newId("dialog");
  const heading = h("h2", { id, say: title });
  const close = button({ class: "icon", label: "dialog.close", on: { click: () => dialog.close() } }, "✕");
  const dialog = h(
    "dialog",
    { class: wide ? "wide" : "", "aria-labelledby": id },
    h("header", {}, heading, close),
    ...content,
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something is done. Resolves to whether the answer is yes; Escape and a click beside it mean no. */
export function confirmed({ title, question, yes }) {
  return new Promise((resolve) => {
    let answer = false;
    const accept = button({ class: "danger", say: yes, on: { click: () => ((answer = true), dialog.close()) } });
    const refuse = button({ say: "dialog.cancel", autofocus: true, on: { click: () => dialog.close() } });
    const dialog = openDialog(
      { title, onClose: () => resolve(answer) },
      h("p", { say: question }),
      h("footer", {}, refuse, accept),
    );
  });
}
