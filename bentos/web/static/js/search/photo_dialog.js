// A found photo at full size, with what is known of the match; arrow keys go to the next and the previous one.

import { button, h, say } from "../core/dom.js";
import { openDialog } from "../parts/dialogs.js";
import { FramedPhoto } from "../parts/framed_photo.js";
import { scoreBadge, scoreMessage } from "./score.js";

/** `results()` are all that are shown; `onMore` gets the result whose person is looked for; `onEnd` asks for more. */
export function openPhoto(first, { results, onMore, onShown }) {
  let current = first;
  const body = h("div", { class: "photo-dialog" });
  const previous = button({ say: "photo.previous", on: { click: () => step(-1) } });
  const next = button({ say: "photo.next", on: { click: () => step(1) } });
  const more = button({ class: "primary", say: "card.more", on: { click: () => (dialog.close(), onMore(current)) } });
  const footer = h("footer", {}, previous, next, more);
  const dialog = openDialog({ title: "photo.title", wide: true, onClose: () => onShown(current) }, body, footer);
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  show();

  function step(by) {
    const shown = results();
    const target = shown[shown.indexOf(current) + by];
    if (!target) return;
    current = target;
    show();
  }

  function show() {
    const shown = results();
    const place = shown.indexOf(current);
    previous.disabled = place <= 0;
    next.disabled = place >= shown.length - 1;
    const photo = new FramedPhoto({ frames: [{ bbox: current.bbox }] });
    say(photo.image, "photo.alt", { photo: current.photo_id }, "alt");
    photo.show(current.url);
    const score = scoreBadge(current.score, "strong");
    body.replaceChildren(
      h("div", { class: "photo-large" }, photo.element),
      h(
        "div",
        { class: "photo-side" },
        h("p", { class: "meaning", "aria-live": "polite" }, score, " ", h("span", { say: scoreMessage(current.score) })),
        facts(current),
      ),
    );
  }
}

/** A list of terms and values. */
function facts({ photo_id: photo, collection_id: collection, face_id: face }) {
  const rows = [
    ["photo.id", photo],
    ["photo.collection", collection ?? "–"],
    ["photo.face", face],
  ];
  return h("dl", {}, ...rows.flatMap(([term, value]) => [h("dt", { say: term }), h("dd", {}, value)]));
}
