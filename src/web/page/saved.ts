/** What the visitor has chosen: kept in this browser for the next visit, and carried by links. */
import { createStore, del, get, set } from "idb-keyval";

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

/** Keeps a selected file for the next visit; null forgets it. A browser whose storage is full goes on without. */
export async function saveFile(file: File | null): Promise<void> {
  await (file ? set("data", file, files) : del("data", files)).catch(() => {});
}

export async function savedFile(): Promise<File | undefined> {
  return get<File>("data", files).catch(() => undefined);
}

/** Keeps what is typed into a field for the next visit. */
export function keepText(field: HTMLInputElement | HTMLTextAreaElement): void {
  const key = `lowrank-text-${field.id}`;
  field.value = localStorage.getItem(key) ?? field.value;
  field.addEventListener("input", () => localStorage.setItem(key, field.value));
}
