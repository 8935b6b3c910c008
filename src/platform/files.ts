import { checkArguments } from "../arguments.ts";

/** Files that the user of the page selected, by the paths that `openFile` and `readBytes` accept. */
const picked = new Map<string, Blob>();

/**
 * Registers a selected file under a path, which functions that take a path then read.
 *
 * @example
 * ```ts
 * import { loadDataset, registerFile } from "lowrank/browser";
 *
 * const input = document.querySelector<HTMLInputElement>("input[type=file]")!;
 * registerFile("messages.csv", input.files![0]!);
 * const data = await loadDataset({ file: "messages.csv" });
 * ```
 */
export function registerFile(path: string, file: Blob): void {
  checkArguments({ path, file }, { path: "text", file: "blob" });
  picked.set(path, file);
}

/**
 * Forgets a file that `registerFile` registered.
 *
 * @example
 * ```ts
 * import { forgetFile } from "lowrank/browser";
 *
 * forgetFile("messages.csv");
 * ```
 */
export function forgetFile(path: string): void {
  checkArguments({ path }, { path: "text" });
  picked.delete(path);
}

export function pickedFile(path: string): Blob | undefined {
  return picked.get(path);
}

export function pickedPaths(): string[] {
  return [...picked.keys()];
}
