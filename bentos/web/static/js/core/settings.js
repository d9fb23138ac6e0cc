// The settings of the service that the page has to know; the service writes them into settings.json.

export let settings = {};

/** Read settings.json; called once, before anything is shown. */
export async function loadSettings() {
  const response = await fetch("settings.json", { credentials: "omit" });
  settings = await response.json();
}
