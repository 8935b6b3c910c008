/** Blocks for a terminal. */
import type { Block } from "../blocks.ts";

/** Text whose lines are at most `width` columns wide. Figures are left out. */
export function renderBlocks(_blocks: readonly Block[], _width?: number): string {
  throw new Error("to come");
}
