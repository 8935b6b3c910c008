/**
 * The codes of errors: short names of what is wrong, which programs and tests compare; the words of a message may
 * change. One fault has one code, wherever it is reported; `details` say where and what. They are types only, because
 * a page would ship a list.
 */

// biome-ignore format: lists
/** The codes of each class of errors. */
export interface ErrorCodes {
  ConfigError:
    | "already-destroyed" | "already-split" | "base-model-elsewhere" | "base-model-not-found"
    | "batch-too-large" | "cannot-read-file" | "classes-differ"
    | "exceeds-context" | "exceeds-limit" | "inputs-changed" | "invalid-access-token"
    | "invalid-adapter-config" | "invalid-argument" | "invalid-batch-size"
    | "invalid-dataset-name" | "invalid-lora-config" | "invalid-output" | "invalid-sweep" | "invalid-value"
    | "missing-model-files" | "missing-package-file" | "missing-shards" | "missing-tokenizer-files" | "model-in-use"
    | "newer-model"
    | "no-chat-template" | "no-checkpoint" | "no-classic-model" | "no-data-source" | "no-end-token"
    | "no-input" | "no-matching-target"
    | "no-such-adapter-site" | "no-such-dataset" | "no-such-file" | "no-such-layer" | "no-such-model"
    | "no-such-revision" | "no-such-run" | "no-test-set" | "no-trained-parameters" | "no-validation-set" | "not-a-model"
    | "not-a-run-directory" | "not-a-sweep-directory" | "not-an-adapter"
    | "not-expressible-in-format" | "not-mergeable" | "not-stored" | "one-option-required" | "option-without-effect"
    | "options-conflict" | "output-exists" | "peer-not-installed" | "pickled-weights" | "response-already-read"
    | "row-exceeds-batch" | "rows-unknown" | "run-active" | "settings-of-adapter" | "settings-of-resumed-run" | "text-is-file-name"
    | "too-few-classes" | "too-many-files" | "too-many-virtual-tokens" | "unknown-encoding" | "unknown-option" | "unknown-value"
    | "unsupported-adapter-config" | "unsupported-architecture" | "unsupported-dataset" | "unsupported-dtype"
    | "unsupported-mode" | "unsupported-model-config" | "unsupported-quantization"
    | "unsupported-tokenizer" | "used-by-another-process" | "weights-not-opened" | "weights-out-of-range"
    | "wrong-base-model" | "wrong-checkpoint" | "wrong-platform" | "wrong-task" | "wrong-text-count"
    | "wrong-vocabulary";
  DataError:
    | "all-labels-different" | "ambiguous-column" | "ambiguous-configuration" | "ambiguous-scores"
    | "cell-without-value" | "class-with-one-row" | "column-not-recognized" | "column-without-text" | "data-released" | "data-too-large" | "exceeds-context"
    | "exceeds-limit" | "index-out-of-range" | "inputs-changed" | "invalid-messages" | "invalid-split"
    | "label-column-is-numeric" | "label-not-flag" | "merged-cells"
    | "no-labels" | "no-parquet-export" | "no-rows" | "no-such-column" | "no-such-configuration"
    | "no-such-row" | "no-such-sheet"
    | "no-training-split" | "not-finite" | "not-this-dataset" | "nothing-to-predict" | "only-near-duplicates"
    | "only-one-class" | "row-without-label" | "same-column" | "score-not-a-number" | "scores-all-equal" | "several-sheets"
    | "tags-differ-from-words" | "text-column-is-numeric"
    | "texts-mixed-with-completions" | "token-out-of-range" | "too-few-columns" | "too-few-rows" | "too-little-text"
    | "unknown-label" | "value-not-text" | "would-forget" | "wrong-text-count";
  FormatError:
    | "damaged-adapter" | "damaged-archive" | "damaged-installation" | "duplicate-tensor" | "exceeds-limit"
    | "invalid-adapter-config" | "invalid-chat-template" | "invalid-checkpoint"
    | "invalid-field" | "invalid-gguf" | "invalid-json" | "invalid-json-array" | "invalid-merges"
    | "invalid-model-config" | "invalid-parquet"
    | "invalid-safetensors" | "invalid-shards-index" | "invalid-text-encoding" | "invalid-vocabulary" | "invalid-xlsx"
    | "missing-shards" | "missing-tokenizer-files" | "no-run-or-adapter" | "no-such-key" | "no-such-tensor"
    | "not-finite" | "not-text" | "not-utf8" | "row-not-json-object"
    | "table-without-text"
    | "text-after-quote" | "truncated-file" | "unclosed-json-array" | "unclosed-quote" | "unknown-data-format"
    | "unsupported-version" | "value-not-text" | "versions-differ" | "wrong-dtype" | "wrong-field-count" | "wrong-shape"
    | "wrong-tensors";
  DownloadError:
    | "connection-interrupted" | "exceeds-limit" | "file-changed-on-server" | "gated-repository"
    | "hash-mismatch" | "invalid-hub-answer" | "no-such-repository" | "not-a-hub" | "not-in-cache" | "ranges-ignored"
    | "request-refused" | "resume-refused" | "server-too-slow" | "server-unavailable" | "server-unreachable"
    | "unknown-file-size" | "write-failed" | "wrong-content" | "wrong-content-length";
  DeviceError:
    | "already-destroyed" | "buffer-too-large" | "device-failed" | "device-lost" | "layouts-differ" | "no-hardware-gpu"
    | "no-webgpu" | "not-in-plan" | "out-of-memory" | "parameter-too-large" | "results-differ"
    | "webgpu-not-installed" | "webgpu-not-loadable" | "work-dropped";
  ShapeError:
    | "batch-exceeds-capacity" | "buffers-differ" | "cache-exceeded" | "exceeds-limit" | "frozen-tensor"
    | "invalid-batch" | "missing-features" | "no-such-tensor" | "not-in-plan"
    | "rows-out-of-range" | "token-out-of-range" | "wrong-dtype" | "wrong-shape";
  TrainingError:
    | "not-finite";
  /** Of errors of the disk, of other processes and of calls, which have no class of their own. */
  LowrankError:
    | "files-in-the-way" | "newer-call" | "process-ended" | "truncated-file" | "write-failed";
}

/** The code of an error. */
export type ErrorCode = ErrorCodes[keyof ErrorCodes];
