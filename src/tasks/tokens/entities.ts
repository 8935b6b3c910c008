/**
 * Entities in a sentence's tags, as seqeval 1.2 finds them, which follows conlleval: a tag is a prefix and a type,
 * B-PER, I-PER, or O; IOB1, IOB2 and IOBES are read alike, and a tag that does not fit begins an entity.
 */

/** Words `first` to `last` of a sentence, of a type. */
export interface Entity {
  type: string;
  first: number;
  last: number;
}

const NONE = { prefix: "O", type: "" };

/** "B-PER" gives B and PER; a tag without a hyphen, its first letter and itself. */
function divide(tag: string): typeof NONE {
  const hyphen = tag.indexOf("-");
  return { prefix: tag.charAt(0), type: (hyphen < 0 ? tag : tag.slice(hyphen + 1)) || "_" };
}

/** Whether an entity that contains the word before a tag ends there. */
function endsBefore(before: typeof NONE, { prefix, type }: typeof NONE): boolean {
  if (before.prefix === "E" || before.prefix === "S") return true;
  if ("BI".includes(before.prefix) && "BSO".includes(prefix)) return true;
  return !"O.".includes(before.prefix) && before.type !== type;
}

/** Whether a tag begins an entity. */
function begins(before: typeof NONE, { prefix, type }: typeof NONE): boolean {
  if (prefix === "B" || prefix === "S") return true;
  if ("ESO".includes(before.prefix) && "EI".includes(prefix)) return true;
  return !"O.".includes(prefix) && before.type !== type;
}

export function findEntities(tags: readonly string[]): Entity[] {
  const entities: Entity[] = [];
  let before = NONE;
  let first = 0;
  for (let i = 0; i <= tags.length; i++) {
    const tag = i < tags.length ? divide(tags[i]!) : { prefix: "O", type: "O" };
    if (endsBefore(before, tag)) entities.push({ type: before.type, first, last: i - 1 });
    if (begins(before, tag)) first = i;
    before = tag;
  }
  return entities;
}

/** The entities of two taggings that are the same: type, first and last word. */
export function countSame(some: readonly Entity[], others: readonly Entity[]): number {
  const keys = new Set(others.map(({ type, first, last }) => `${first} ${last} ${type}`));
  return some.filter(({ type, first, last }) => keys.has(`${first} ${last} ${type}`)).length;
}
