/** For downloads in a page: hashes of files in pieces, of which a browser has none, and files that grow. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { openDirectory, split } from "./opfs.ts";
import type { FileWriter } from "./reader.ts";

export interface Hasher {
  update(bytes: Uint8Array): void;
  /** In hexadecimal. */
  digest(): string;
}

export async function createHasher(algorithm: "sha256" | "sha1"): Promise<Hasher> {
  const hash = (algorithm === "sha256" ? sha256 : (await import("@noble/hashes/legacy.js")).sha1).create();
  return { update: (bytes) => void hash.update(bytes), digest: () => bytesToHex(hash.digest()) };
}

/** Opens a file for appending; creates it and its folder if needed. */
export async function openAppend(path: string): Promise<FileWriter> {
  const { folder, name } = split(path);
  const handle = await (await openDirectory(folder, true)).getFileHandle(name, { create: true });
  const { size } = await handle.getFile();
  const stream = await handle.createWritable({ keepExistingData: true });
  await stream.seek(size);
  return {
    size,
    write: (bytes) => stream.write(bytes as Uint8Array<ArrayBuffer>),
    close: () => stream.close(),
  };
}
