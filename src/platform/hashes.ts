/** The hashes of a page, in a file of their own: a package that is imported when it is needed comes whole. */
export { sha1 } from "@noble/hashes/legacy.js";
export { sha256 } from "@noble/hashes/sha2.js";
export { bytesToHex } from "@noble/hashes/utils.js";
