// data.wasm, the tokenizer and the data pipeline: what the host can call. One line a file.
export { encode } from "./bpe";
export { alloc, free } from "./memory";
export { decode, decoded_length, load_tables } from "./vocabulary";
export { balance, shuffle } from "./split";
export { batch_tokens, pack, row_table } from "./batch";
export { fault_code, fault_first, fault_line, fault_second } from "./fault";
export { feed, finish, read_begin, read_keys, read_sample, read_settings, sample_count, sample_rows } from "./reader";
export { fields_bytes, fields_ends } from "./fields";
export { invalid_count, row_count, row_text, row_text_bytes, rows_clear, settle_labels } from "./rows";
export { label_bytes, label_count, label_name } from "./labels";
