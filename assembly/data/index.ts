// data.wasm, the tokenizer and the data pipeline: what the host can call. One line a file.
export { encode } from "./bpe";
export { alloc, free } from "./memory";
export { decode, decoded_length, load_tables } from "./vocabulary";
