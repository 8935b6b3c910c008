interface Declaration {
  path: string;
  name: string;
  text: string;
}

export const PAGE: string;
export function readApi(): {
  entries: { name: string; exports: Map<string, Declaration> }[];
  missing: (Declaration & { of: string })[];
};
export function reachedFrom(declarations: Iterable<Declaration>): Declaration[];
export function printApi(): string;
