/** What native code prints: it knows no stream of Node's, only the process's file descriptor 2. */
import { closeSync, fstatSync, readSync } from "node:fs";

const STDERR = 2;

/**
 * Does `work` and leaves out, of what is printed on the standard error meanwhile, the lines that match; all others follow when
 * it is done. On Linux, where the drivers are that need it; elsewhere, and where koffi is not installed, all is printed at once.
 */
export async function withoutLines<T>(noise: RegExp, work: () => T): Promise<T> {
  const libc = await loadLibc().catch(() => null);
  const caught = libc?.memfd_create("stderr", 0) ?? -1;
  if (!libc || caught < 0) return work();
  const kept = libc.dup(STDERR);
  if (kept >= 0) libc.dup2(caught, STDERR);
  try {
    return work();
  } finally {
    if (kept >= 0) {
      libc.dup2(kept, STDERR);
      closeSync(kept);
    }
    const bytes = Buffer.alloc(fstatSync(caught).size);
    readSync(caught, bytes, 0, bytes.length, 0);
    closeSync(caught);
    const rest = bytes
      .toString()
      .split(/(?<=\n)/)
      .filter((line) => !noise.test(line));
    if (rest.length > 0) process.stderr.write(rest.join(""));
  }
}

async function loadLibc() {
  if (process.platform !== "linux") return null;
  const { default: koffi } = await import("koffi");
  const libc = koffi.load(null);
  return {
    dup: libc.func("int dup(int)") as (fd: number) => number,
    dup2: libc.func("int dup2(int, int)") as (from: number, to: number) => number,
    memfd_create: libc.func("int memfd_create(const char *, unsigned int)") as (name: string, flags: number) => number,
  };
}
