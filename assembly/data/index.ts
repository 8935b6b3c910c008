// data.wasm, the tokenizer and the data pipeline: the exports for the host, one line per file.

export { batch_tokens, pack, row_table } from "./batch";
export { fields_bytes, fields_ends } from "./fields";
export { label_add, label_bytes, label_count, label_line, label_name } from "./labels";
export {
  feed,
  finish,
  read_begin,
  read_keys,
  read_labels,
  read_sample,
  read_settings,
  read_texts,
  sample_count,
  sample_rows,
  text_bytes,
  text_count,
  text_ends,
} from "./reader";
export {
  error_code,
  error_first,
  error_line,
  error_second,
  left_out_count,
  left_out_errors,
  left_out_words,
} from "./row-error";
export { row_count, row_text, row_text_bytes, rows_clear, set_prompt, settle_labels } from "./rows";
export { alloc, decode, decoded_length, encode, free, load_vocabulary, longest_token, most_ids } from "./tokenizer";
export { end_of_text } from "./vocabulary";
