/** The visitor's choices: kept in this browser for the next visit, and carried by links. */
import { effect, type Signal, signal } from "@preact/signals";
import { createStore, get, set } from "idb-keyval";
import { readSetting } from "../../../run/settings.ts";
import type { PageSettings } from "../../protocol.ts";

const KEY = "lowrank-settings";
/** The names of the files with the examples and with the text that are typed on the page. */
export const EXAMPLES_FILE = "examples.csv";
export const PASTED_FILE = "pasted-text.txt";
const files = createStore("lowrank-page", "files");

/** The settings of the visitor, of which some may be missing. */
export type Saved = Partial<PageSettings>;

/**
 * The settings of the address, which `linkTo` made, with the names of those that cannot be read; else the settings of
 * the last visit. A link is used once: a reload keeps later changes.
 */
export function savedSettings(): { settings: Saved; isLink: boolean; unknown: string[] } {
  const text = location.hash.slice(1);
  const isLink = text.includes("=");
  const unknown: string[] = [];
  const read = ([name, value]: [string, string]) => {
    try {
      return [[name, readSetting(name, value)]];
    } catch {
      unknown.push(name);
      return [];
    }
  };
  if (!isLink) return { settings: lastSettings(), isLink, unknown };
  history.replaceState(null, "", location.pathname + location.search);
  return { settings: Object.fromEntries([...new URLSearchParams(text)].flatMap(read)) as Saved, isLink, unknown };
}

/** The settings of the last visit; none if they cannot be read. */
function lastSettings(): Saved {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

export function saveSettings(settings: Saved): void {
  localStorage.setItem(KEY, JSON.stringify(settings));
}

/** An address of this page that fills in the settings. It names no files of the visitor. */
export function linkTo({ data, ...settings }: Saved): string {
  const isTyped = data === EXAMPLES_FILE || data === PASTED_FILE;
  const all = { ...(data === undefined ? {} : { data: isTyped ? data : "" }), ...settings };
  const texts = Object.entries(all).map(([name, value]) => [name, String(value)]);
  return `${location.origin}${location.pathname}#${new URLSearchParams(texts)}`;
}

/** Keeps selected files for the next visit, under a name. If the browser's storage is full, they are not kept. */
export async function keepFiles(name: "data" | "texts" | "pasted", chosen: readonly File[]): Promise<void> {
  await set(name, chosen, files).catch(() => {});
}

export async function keptFiles(name: "data" | "texts" | "pasted"): Promise<readonly File[]> {
  return (await get<File[]>(name, files).catch(() => undefined)) ?? [];
}

/** The text of the field `id`, kept for the next visit. */
export function keptText(id: string, initial: string): Signal<string> {
  const key = `lowrank-text-${id}`;
  const text = signal(localStorage.getItem(key) ?? initial);
  effect(() => localStorage.setItem(key, text.value));
  return text;
}
