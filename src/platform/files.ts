import { checkArguments } from "../arguments.ts";

/** Files that the page's visitor has picked, by the paths under which `openFile` and `readBytes` find them. */
const picked = new Map<string, Blob>();

/** Gives a picked file a path: "base/model.safetensors". */
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
