// What a person has chosen. The token lives as long as its tab; language, theme and namespace stay.

import { TEXTS } from "./texts.js";

const known = {
  language: () => (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"),
  theme: () => "auto",
  namespace: () => "",
};

export const get = (name) => localStorage.getItem(`sampan.${name}`) ?? known[name]();
export const set = (name, value) => localStorage.setItem(`sampan.${name}`, value);

export const token = () => sessionStorage.getItem("sampan.token") || "";
export const signIn = (value) => sessionStorage.setItem("sampan.token", value);
export const signOut = () => sessionStorage.removeItem("sampan.token");

/** The text of a key, with {names} filled in; a key without text is shown as it is (names of the API). */
export function t(key, values) {
  const text = TEXTS[get("language")]?.[key] ?? TEXTS.en[key] ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "") : text;
}

export function apply() {
  const root = document.documentElement;
  root.lang = get("language") === "zh" ? "zh-CN" : "en";
  root.dataset.theme = get("theme");
}
