/** Tokens of WordPiece and Unigram as a text. */
import type { PieceDecoder } from "./vocabulary.ts";

/** The text of tokens, as the decoder of the library `tokenizers` joins them. */
export function joinPieces(pieces: readonly string[], { space, isPrefixed, prefix, cleanup }: PieceDecoder): string {
  if (space !== undefined)
    return pieces.map((piece, i) => piece.replaceAll(space, i === 0 && isPrefixed ? "" : " ")).join("");
  const join = (piece: string, i: number) =>
    i === 0 ? piece : piece.startsWith(prefix!) ? piece.slice(prefix!.length) : ` ${piece}`;
  const clean = (piece: string) => CLEANUP.reduce((left, [from, to]) => left.replaceAll(from, to), piece);
  return pieces.map((piece, i) => (cleanup ? clean(join(piece, i)) : join(piece, i))).join("");
}

const CLEANUP = [
  ...[".", "?", "!", ","].map((sign) => [` ${sign}`, sign] as const),
  [" ' ", "'"],
  ...["n't", "'m"].map((ending) => [` ${ending}`, ending] as const),
  [" do not", " don't"],
  ...["'s", "'ve", "'re"].map((ending) => [` ${ending}`, ending] as const),
] as const;
