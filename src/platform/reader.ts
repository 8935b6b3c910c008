import { ConfigError } from "../errors.ts";

/** A file opened for random access. Offsets and lengths are bytes. */
export interface FileReader {
  readonly name: string;
  readonly size: number;
  /** A copy of the bytes [offset, offset + length), aligned to 8. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** The content of a file to write: as a whole, or in chunks. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

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
    throw new ConfigError("the file is too large", {
      where: name,
      expected: `at most ${limit} bytes`,
      found: `${size} bytes`,
    });
}
