/** The hashes of a page. Re-exported, so that a dynamic import of this file does not bundle the whole package. */
export { sha1 } from "@noble/hashes/legacy.js";
export { sha256 } from "@noble/hashes/sha2.js";
export { bytesToHex } from "@noble/hashes/utils.js";
