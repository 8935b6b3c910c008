/** What differs between Node and a page, the page's side. `node.ts` has the same exports. */
export const platformName = "browser";
