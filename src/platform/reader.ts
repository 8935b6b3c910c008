import { ConfigError, LowrankError } from "../core/errors.ts";

/** A file opened for random access. Offsets and lengths are bytes. */
export interface FileReader {
  readonly name: string;
  readonly size: number;
  /**
   * In addition to the size: differs once the file is written to: its time, or what its server says; undefined: not
   * known.
   */
  readonly version?: string | number | undefined;
  /** A copy of the bytes [offset, offset + length), aligned to 8. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Of a file on a server: downloads it whole, once, because all of it is read more than once. */
  hold?(): Promise<void>;
  close(): Promise<void>;
}

/** A file of so many bytes that needs not be closed; `read` is not asked for others. */
export function sizedReader(name: string, size: number, read: FileReader["read"]): FileReader {
  const close = async () => {};
  return {
    ...{ name, size, close },
    async read(offset, length) {
      if (offset + length > size) throw new Error(`${name}: file ended ${offset + length - size} bytes early`);
      return read(offset, length);
    },
  };
}

export function blobReader(name: string, blob: Blob): FileReader {
  const read = async (at: number, length: number) => new Uint8Array(await blob.slice(at, at + length).arrayBuffer());
  return { ...sizedReader(name, blob.size, read), version: (blob as Partial<File>).lastModified };
}

export function bytesReader(name: string, bytes: Uint8Array): FileReader {
  return sizedReader(name, bytes.length, async (at, length) => bytes.slice(at, at + length));
}

/** Bytes of a file that are copied at a time: a model may have gigabytes. */
const PIECE_BYTES = 1 << 26;

/** The bytes of a file. `onRead` gets those before each piece. */
export async function* filePieces(
  { size, read }: Pick<FileReader, "size" | "read">,
  onRead?: (bytes: number) => void,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < size; at += PIECE_BYTES) {
    onRead?.(at);
    yield read(at, Math.min(PIECE_BYTES, size - at));
  }
}

/** The methods that are used of a FileHandle of node:fs/promises. */
export interface NodeFileHandle {
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  stat(): Promise<{ size: number; mtimeMs?: number; ctimeMs?: number; isFile(): boolean; isDirectory(): boolean }>;
}

/** Reads from an open file, which `close` closes. Throws ConfigError if it is no file. */
export async function handleReader(
  name: string,
  handle: NodeFileHandle,
  close: () => Promise<void>,
): Promise<FileReader> {
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await close();
    const kind = stats.isDirectory() ? "a directory" : "a pipe or a device, which has no size";
    throw new ConfigError("cannot-read-file", `cannot read ${name}`, { expected: "a file", found: kind });
  }
  const { size, mtimeMs, ctimeMs } = stats;
  return {
    name,
    size,
    version: mtimeMs === undefined ? undefined : [mtimeMs, ctimeMs].join(),
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 1 << 30), offset + done);
        if (bytesRead === 0)
          throw new LowrankError("truncated-file", `${name}: file ended ${length - done} bytes early`, {
            expected: `${size} bytes, as when it was opened`,
            hint: "try again when no other program is writing it",
          });
        done += bytesRead;
      }
      return bytes;
    },
    close,
  };
}

/** The content of a file to write: as a whole, or in chunks. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

export async function* contentPieces(content: FileContent): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (typeof content === "string") yield new TextEncoder().encode(content);
  else if (content instanceof Uint8Array) yield content as Uint8Array<ArrayBuffer>;
  else yield* content as AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** A file opened for appending. */
export interface FileWriter {
  /** Its size in bytes when it was opened. */
  readonly size: number;
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Throws ConfigError for a file of more than `limit` bytes. */
export function checkSize({ name, size }: Pick<FileReader, "name" | "size">, limit: number): void {
  if (size > limit)
    throw new ConfigError("exceeds-limit", "the file is too large", {
      where: name,
      expected: `at most ${limit} bytes`,
      found: `${size} bytes`,
    });
}
