/** Paths and URLs as text. */

/** Suffix of the temporary names under which Node writes files and directories. */
export const TEMPORARY = ".lowrank.tmp";

/** Whether a name is one that a killed process may have left. */
export const isTemporary = (name: string) => name.startsWith(".") && name.endsWith(TEMPORARY);

/** Whether a path is the address of a file or folder on a server. */
export function isRemote(path: string): boolean {
  return /^https?:\/\//i.test(path);
}

/** Whether a path or an address is that of a GGUF file, a model in one file; `?download=true` may follow. */
export function isGguf(path: string): boolean {
  return /\.gguf(\?[^/]*)?$/i.test(path);
}

/** Whether a path or an address is that of a zip file, which may have an adapter. */
export function isZip(path: string): boolean {
  return /\.zip(\?[^/]*)?$/i.test(path);
}

/** Joins the parts of a path or URL. Removes "." and empty parts, and resolves "..". */
export function joinUrl(...parts: string[]): string {
  const joined = parts.filter((part) => part !== "").join("/");
  const origin = joined.match(/^[a-z][a-z0-9+.-]*:\/\/[^/]*\/?|^\//i)?.[0] ?? "";
  return origin + segments(joined.slice(origin.length)).join("/");
}

export function segments(path: string): string[] {
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && out.length > 0) out.pop();
    else out.push(part);
  }
  return out;
}

/** The folders of these files, outermost first. */
export function parentFolders(names: Iterable<string>): string[] {
  const folders = [...names].flatMap((name) => {
    const parts = name.split("/").slice(0, -1);
    return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
  });
  return [...new Set(folders)];
}
