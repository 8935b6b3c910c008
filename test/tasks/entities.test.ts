import * as assert from "uvu/assert";
import { countSame, findEntities } from "../../src/tasks/tokens/entities.ts";
import { test } from "../helpers/harness.ts";

/** "B-PER O": the entities as "PER 0-0". */
const show = (tags: string) =>
  findEntities(tags.split(" "))
    .map(({ type, first, last }) => `${type} ${first}-${last}`)
    .join(", ");

test("entities are those that seqeval 1.2.2 finds (get_entities): IOB1, IOB2, IOBES, and tags that do not fit", () => {
  for (const [tags, expected] of [
    ["O O", ""],
    ["B-PER I-PER O B-LOC", "PER 0-1, LOC 3-3"],
    ["B-PER B-PER I-PER", "PER 0-0, PER 1-2"],
    ["I-PER I-PER O I-LOC", "PER 0-1, LOC 3-3"],
    ["B-PER I-LOC", "PER 0-0, LOC 1-1"],
    ["S-LOC B-PER I-PER E-PER S-PER", "LOC 0-0, PER 1-3, PER 4-4"],
    ["E-PER E-PER I-PER", "PER 0-0, PER 1-1, PER 2-2"],
    ["O-PER S-LOC B-LOC B-PER O S-LOC S-LOC", "LOC 1-1, LOC 2-2, PER 3-3, LOC 5-5, LOC 6-6"],
    ["I- B-LOC E-PER B-LOC O-PER B-LOC I-LOC", "_ 0-0, LOC 1-1, PER 2-2, LOC 3-3, LOC 5-6"],
    ["X-A-B X-A-B B-A-B", "A-B 2-2"],
    // A part of speech: seqeval 1.2.2 calls its type OUN.
    ["NOUN NOUN VERB", "NOUN 0-1, VERB 2-2"],
  ] as const)
    assert.is(show(tags), expected, tags);
});

test("entities are the same if type and words are", () => {
  const [truth, predicted] = ["B-PER I-PER O B-LOC", "B-PER I-PER O B-ORG"].map((tags) =>
    findEntities(tags.split(" ")),
  );
  assert.is(countSame(truth!, predicted!), 1);
  assert.is(countSame(truth!, []), 0);
  assert.is(countSame(truth!, truth!), 2);
});
