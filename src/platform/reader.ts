import { ConfigError } from "../errors.ts";

/** A file opened for random access. Offsets and lengths are bytes. */
export interface FileReader {
  readonly name: string;
  readonly size: number;
  /** The bytes of [offset, offset + length), in memory of their own (aligned to 8). */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** What is written into a file: whole, or piece by piece as it is made. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

/** A file opened to be written from its end on. */
export interface FileWriter {
  /** Bytes that it had when it was opened. */
  readonly size: number;
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Throws ConfigError for a file of more than `limit` bytes. */
export function checkSize({ name, size }: Pick<FileReader, "name" | "size">, limit: number): void {
  if (size > limit)
    throw new ConfigError("the file is too large", {
      where: name,
      expected: `at most ${limit} bytes`,
      found: `${size} bytes`,
    });
}
