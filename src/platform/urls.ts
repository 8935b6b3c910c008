/** Paths and URLs as text. */

/** Whether a path is the address of a file or folder on a server. */
export function isRemote(path: string): boolean {
  return /^https?:\/\//i.test(path);
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
