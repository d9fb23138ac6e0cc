// Chooses between whole photos and the faces only.

import { h, newId } from "../core/dom.js";

/** Two radio buttons; `onChange` gets `photo` or `face`. */
export function viewChoice(onChange) {
  const name = newId("mode");
  const choices = ["photo", "face"].map((mode, place) => {
    const input = h("input", { type: "radio", name, value: mode, checked: place === 0 });
    input.addEventListener("change", () => onChange(mode));
    return h("label", {}, input, h("span", { say: `view.${mode}` }));
  });
  onChange("photo");
  return h("fieldset", { class: "segments" }, h("legend", { class: "hidden", say: "view.legend" }), ...choices);
}
