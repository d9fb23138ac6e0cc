// Starts the page: language, colours, key, and the two views behind the two links of the header.

import { onKeyNeeded } from "./core/api.js";
import { button, h, say } from "./core/dom.js";
import { LANGUAGES } from "./core/i18n.js";
import { applyLanguage, applyTheme, forgetKey, storedKey, THEMES } from "./core/preferences.js";
import { loadSettings, settings } from "./core/settings.js";
import { askForKey } from "./parts/key_dialog.js";
import { PhotosView } from "./photos/view.js";
import { SearchView } from "./search/view.js";

async function start() {
  const language = applyLanguage();
  applyTheme();
  onKeyNeeded(askForKey);
  await loadSettings();
  const search = new SearchView();
  const photos = new PhotosView({ onLookFor: lookFor });
  const views = { search, photos };
  const links = Object.keys(views).map((name) => h("a", { href: `#${name}`, say: `nav.${name}` }));
  const main = h("main", { id: "main", tabindex: "-1" }, search.element, photos.element);
  const skip = h("a", { class: "skip", href: "#main", say: "nav.skip" });
  skip.addEventListener("click", (event) => (event.preventDefault(), main.focus()));
  say(document.querySelector("title"), "title");
  document.body.replaceChildren(skip, header(language, links), main, footer());
  window.addEventListener("hashchange", show);
  if (!storedKey()) await askForKey(false);
  show();

  function show() {
    const wanted = location.hash.slice(1) in views ? location.hash.slice(1) : "search";
    for (const [name, view] of Object.entries(views)) view.element.hidden = name !== wanted;
    for (const link of links) {
      if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (wanted === "photos") photos.refresh();
  }

  function lookFor(face) {
    location.hash = "#search";
    search.lookFor(face);
  }
}

function header(language, links) {
  const icon = h("img", { src: "icon.svg", alt: "", width: "28", height: "28" });
  return h(
    "header",
    { class: "page-header" },
    h("h1", {}, icon, h("span", { say: "title" })),
    h("nav", { label: "nav.label" }, ...links),
    h("div", { class: "preferences" }, languageChoice(language), themeChoice(), forgetButton()),
  );
}

function languageChoice(language) {
  const options = Object.entries(LANGUAGES).map(([name, text]) =>
    h("option", { value: name, lang: name, selected: name === language }, text),
  );
  const select = h("select", { label: "preferences.language" }, ...options);
  select.addEventListener("change", () => applyLanguage(select.value));
  return select;
}

function themeChoice() {
  const theme = applyTheme();
  const options = THEMES.map((name) => h("option", { value: name, selected: name === theme, say: `theme.${name}` }));
  const select = h("select", { label: "preferences.theme" }, ...options);
  select.addEventListener("change", () => applyTheme(select.value));
  return select;
}

function forgetButton() {
  const forget = () => {
    forgetKey();
    location.reload();
  };
  return button({ class: "quiet", say: "key.forget", on: { click: forget } });
}

function footer() {
  const text = h("p", {});
  say(text, "footer", { version: settings.version, pack: settings.face_pack });
  return h("footer", { class: "page-footer" }, text);
}

start();
