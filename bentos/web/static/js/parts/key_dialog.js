// Asks for the API key, tries it, and keeps it for this tab.

import { ApiError, isValidKey } from "../core/api.js";
import { button, h, newId } from "../core/dom.js";
import { storeKey } from "../core/preferences.js";
import { openDialog } from "./dialogs.js";
import { errorBox } from "./errors.js";

let asking = null;

/** Ask for a key; `wrong` says that the last one was refused. Resolves to a valid key, or to null. */
export function askForKey(wrong) {
  asking ??= ask(wrong).finally(() => {
    asking = null;
  });
  return asking;
}

function ask(wrong) {
  return new Promise((resolve) => {
    let accepted = null;
    const id = newId("key");
    const input = h("input", { id, type: "password", autocomplete: "off", required: true, autofocus: true, spellcheck: "false" });
    const problem = h("div", {}, wrong ? errorBox(new ApiError("invalid_api_key")) : null);
    const submit = h("button", { class: "primary", type: "submit", say: "key.use" });
    const form = h(
      "form",
      { class: "stack" },
      h("p", { say: "key.explanation" }),
      h("label", { for: id, say: "key.label" }),
      input,
      problem,
      h("footer", {}, button({ say: "dialog.cancel", on: { click: () => dialog.close() } }), submit),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const key = input.value.trim();
      try {
        if (!(await isValidKey(key))) throw new ApiError("invalid_api_key");
        accepted = key;
        storeKey(key);
        dialog.close();
      } catch (error) {
        problem.replaceChildren(errorBox(error instanceof ApiError ? error : new ApiError("invalid_api_key")));
        input.select();
      }
    });
    const dialog = openDialog({ title: "key.title", onClose: () => resolve(accepted) }, form);
  });
}
