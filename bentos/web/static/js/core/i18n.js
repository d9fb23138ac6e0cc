// Translates messages, with numbers and plurals as the language has them.

import en from "../lang/en.js";
import ru from "../lang/ru.js";

export const LANGUAGES = { en: "English", ru: "Русский" };

const messages = { en, ru };
const listeners = [];
let language = "en";

/** The language in use. */
export function currentLanguage() {
  return language;
}

/** Use another language from now on. */
export function useLanguage(chosen) {
  language = chosen in messages ? chosen : "en";
  document.documentElement.lang = language;
  for (const listener of listeners) listener();
}

/** Call `listener` after each change of the language. */
export function onLanguage(listener) {
  listeners.push(listener);
}

/**
 * The message `key` in the current language. {name} stands for a parameter; a number is written as the language does.
 * A message with several forms is chosen by the parameter `count`.
 */
export function translate(key, parameters = {}) {
  const message = messages[language][key] ?? messages.en[key] ?? key;
  const form = typeof message === "string" ? message : pluralForm(message, parameters.count);
  return form.replace(/\{(\w+)\}/g, (_, name) => written(parameters[name]));
}

/** Whether there is a message with this key. */
export function hasMessage(key) {
  return key in messages.en;
}

function pluralForm(forms, count) {
  return forms[new Intl.PluralRules(language).select(count)] ?? forms.other;
}

function written(value) {
  if (value instanceof Score) return value.text();
  if (typeof value === "number") return new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(value);
  if (value instanceof Date) {
    return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(value);
  }
  return value === undefined || value === null ? "" : String(value);
}

/** A score as a parameter of a message: always two decimals. */
export class Score {
  constructor(value) {
    this.value = value;
  }

  /** The score in the current language. */
  text() {
    const format = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    return format.format(this.value);
  }
}
