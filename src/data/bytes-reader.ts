/** Bytes in memory as a file. */
import type { FileReader } from "../platform/reader.ts";

export function bytesReader(name: string, bytes: Uint8Array): FileReader {
  return {
    name,
    size: bytes.length,
    async read(offset, length) {
      const missing = offset + length - bytes.length;
      if (missing > 0) throw new Error(`${name}: file ended ${missing} bytes early`);
      return bytes.slice(offset, offset + length);
    },
    close: async () => {},
  };
}
