/** Filters output that native code prints in Node: it bypasses process.stderr and writes to file descriptor 2. */
const STDERR = 2;
const SEEK_END = 2;

/**
 * Runs `work` and removes lines that match `noise` from its standard error; the other lines are printed at the end. Works only
 * on Linux, whose drivers need it, and with koffi installed; otherwise everything is printed at once.
 */
export async function withoutLines<T>(noise: RegExp, work: () => T): Promise<T> {
  const libc = await loadLibc().catch(() => null);
  const kept = libc?.dup(STDERR) ?? -1;
  if (!libc || kept < 0) return work();
  const caught = libc.memfd_create("stderr", 0);
  if (caught >= 0) libc.dup2(caught, STDERR);
  try {
    return work();
  } finally {
    libc.dup2(kept, STDERR);
    libc.close(kept);
    const bytes = new Uint8Array(Math.max(0, Number(libc.lseek(caught, 0, SEEK_END))));
    libc.pread(caught, bytes, bytes.length, 0);
    libc.close(caught);
    const lines = new TextDecoder().decode(bytes).split(/(?<=\n)/);
    const rest = lines.filter((line) => !noise.test(line)).join("");
    if (rest !== "") process.stderr.write(rest);
  }
}

async function loadLibc() {
  if (process.platform !== "linux") return null;
  const { default: koffi } = await import("koffi");
  const libc = koffi.load(null);
  return {
    dup: libc.func("int dup(int)"),
    dup2: libc.func("int dup2(int, int)"),
    close: libc.func("int close(int)"),
    lseek: libc.func("long lseek(int, long, int)"),
    pread: libc.func("long pread(int, _Out_ void *, size_t, long)"),
    memfd_create: libc.func("int memfd_create(const char *, unsigned int)"),
  };
}
