/** What the visitor has chosen: kept in this browser for the next visit, and carried by links. */
import { createStore, get, set } from "idb-keyval";

const KEY = "lowrank-settings";
const files = createStore("lowrank-page", "files");

/** Settings by name, as text. */
export type Saved = Record<string, string>;

/** The settings of the address, which `linkOf` made; else those of the last visit. A link is used once: a reload keeps later changes. */
export function savedSettings(): { settings: Saved; isLink: boolean } {
  const text = location.hash.slice(1);
  if (text.includes("=")) {
    history.replaceState(null, "", location.pathname + location.search);
    return { settings: Object.fromEntries(new URLSearchParams(text)), isLink: true };
  }
  try {
    return { settings: JSON.parse(localStorage.getItem(KEY) ?? "{}") as Saved, isLink: false };
  } catch {
    return { settings: {}, isLink: false };
  }
}

export function saveSettings(settings: Saved): void {
  localStorage.setItem(KEY, JSON.stringify(settings));
}

/** An address of this page that fills in the settings. */
export function linkOf(settings: Saved): string {
  return `${location.origin}${location.pathname}#${new URLSearchParams(settings)}`;
}

/** Keeps selected files for the next visit, under a name. A browser whose storage is full goes on without. */
export async function keepFiles(name: "data" | "texts" | "pasted", some: readonly File[]): Promise<void> {
  await set(name, some, files).catch(() => {});
}

export async function keptFiles(name: "data" | "texts" | "pasted"): Promise<readonly File[]> {
  return (await get<File[]>(name, files).catch(() => undefined)) ?? [];
}

/** Keeps what is typed into a field for the next visit. */
export function keepText(field: HTMLInputElement | HTMLTextAreaElement): void {
  const key = `lowrank-text-${field.id}`;
  field.value = localStorage.getItem(key) ?? field.value;
  field.addEventListener("input", () => localStorage.setItem(key, field.value));
}
