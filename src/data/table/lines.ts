/** The rows of a file that is not text, as JSON lines: row N on line N, so that errors name it. */
import { DataError, nameList } from "../../errors.ts";
import { LIMITS } from "../../io/limits.ts";

/** Lines as bytes. Their size is limited: a few bytes of a dictionary can stand for many rows. */
export class Lines {
  private readonly pieces: Uint8Array<ArrayBuffer>[] = [];
  private pending = "";
  private size = 0;
  private rows = 0;

  constructor(
    private readonly where: string,
    private readonly columns: readonly string[],
  ) {}

  /** Adds row `row`, from 1; those that are left out are empty lines. */
  add(line: string, row: number): void {
    if (line.length > LIMITS.line) this.refuse(`The row ${row} is too long`, LIMITS.line);
    this.pending += `${"\n".repeat(row - 1 - this.rows)}${line}\n`;
    this.rows = row;
    if (this.pending.length >= PIECE) this.flush();
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    this.flush();
    return new Uint8Array(await new Blob(this.pieces).arrayBuffer());
  }

  private flush(): void {
    const bytes = new TextEncoder().encode(this.pending);
    this.pieces.push(bytes);
    this.pending = "";
    this.size += bytes.length;
    if (this.size > LIMITS.columns) this.refuse("The file has too much text", LIMITS.columns);
  }

  private refuse(summary: string, most: number): never {
    throw new DataError("data-too-large", summary, {
      where: this.where,
      expected: `at most ${most} bytes in ${nameList(this.columns)}`,
      hint: "use a smaller part of the data",
    });
  }
}

/** Characters that are encoded together. */
const PIECE = 1 << 20;
