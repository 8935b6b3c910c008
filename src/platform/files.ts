import { checkArguments } from "../arguments.ts";

/** Files that the user of the page selected, by the paths that `openFile` and `readBytes` accept. */
const picked = new Map<string, Blob>();

/** Registers a selected file under a path: "base/model.safetensors". */
export function registerFile(path: string, file: Blob): void {
  checkArguments({ path, file }, { path: "text", file: "blob" });
  picked.set(path, file);
}

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
