// Keeps what the person has chosen: language and colours for this browser, the API key for this tab only. No cookie.

import { LANGUAGES, useLanguage } from "./i18n.js";

const KEY = "api-key";

/** The API key of this tab, or null. */
export function storedKey() {
  return sessionStorage.getItem(KEY);
}

/** Keep the key until the tab is closed. */
export function storeKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Forget the key at once. */
export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

/** Use the chosen language, or the browser's. Returns it. */
export function applyLanguage(chosen = null) {
  if (chosen) localStorage.setItem("language", chosen);
  const wanted = [localStorage.getItem("language"), ...navigator.languages.map((name) => name.split("-")[0])];
  const language = wanted.find((name) => name in LANGUAGES) ?? "en";
  useLanguage(language);
  return language;
}

export const THEMES = ["auto", "light", "dark"];

/** Use the chosen colours, or those of the system. Returns the choice. */
export function applyTheme(chosen = null) {
  if (chosen) localStorage.setItem("theme", chosen);
  const stored = localStorage.getItem("theme");
  const theme = THEMES.includes(stored) ? stored : "auto";
  document.documentElement.dataset.theme = theme;
  return theme;
}
