// tokenizer.wasm, the tokenizer without the data pipeline: all that classifies or writes needs no more. data.wasm has
// it, too.

export { load_vocabulary } from "./added";
export { encode } from "./encode";
export { alloc, free } from "./memory";
export { most_ids } from "./parts";
export { decode, decoded_length, longest_token } from "./vocabulary";
