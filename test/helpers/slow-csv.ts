/**
 * RFC 4180, written for clearness: the rows of a file that have more than white space, or null where a quote is out of
 * place.
 */
export function slowCsv(content: string): string[][] | null {
  const rows: string[][] = [];
  let rest = content.replace(/^\uFEFF/, "");
  while (rest !== "") {
    const blank = /^(\r\n|\n|\r)/.exec(rest);
    if (blank) {
      rest = rest.slice(blank[0].length);
      continue;
    }
    const row: string[] = [];
    while (true) {
      const quoted = /^"((?:[^"]|"")*)"/.exec(rest);
      if (!quoted && rest.startsWith('"')) return null;
      const field = quoted ?? /^([^,\r\n]*)/.exec(rest)!;
      row.push(quoted ? field[1]!.replaceAll('""', '"') : field[1]!);
      rest = rest.slice(field[0].length);
      if (!rest.startsWith(",")) break;
      rest = rest.slice(1);
    }
    if (/[^\t-\r ]/.test(row.join(""))) rows.push(row);
    const end = /^(\r\n|\n|\r|$)/.exec(rest);
    if (!end) return null;
    rest = rest.slice(end[0].length);
  }
  return rows;
}
