/** Numbers of what data.wasm reads of a vocabulary: assembly/data/vocabulary.ts. */

/** The kinds of vocabularies, in order of their numbers. */
export const KINDS = ["bpe", "wordpiece", "unigram"] as const;

export type Kind = (typeof KINDS)[number];

/** A step of the normalizer, or a part that a kind needs. */
export const PARTS = ["host", "charsmap", "spaces", "classes", "scores", "wordpiece", "metaspace"] as const;

/**
 * Flags of a step that the host does: it leaves ASCII as it is, or texts in NFC; it is BertNormalizer, whose ASCII
 * data.wasm does; it takes white space from the beginning.
 */
export const HOST = { ascii: 1, composed: 2, bert: 4, clean: 8, lower: 16, strip: 32 } as const;

/** The step that brings a text into NFC. */
export const NFC = { run: (text: string) => text.normalize("NFC"), flags: HOST.composed, growth: 3 };

/** Flags of Metaspace: words are divided at white space before, and at its letter; only the first has it, or none. */
export const METASPACE = { words: 1, splits: 2, first: 4, never: 8 } as const;
