/** GGUF files in parts that can be changed: what is read here is written again with the same bytes. */

/** A value with the number of its type; a list is of values of `elements`. */
export interface Value {
  type: number;
  elements?: number;
  value: unknown;
}

export interface Tensor {
  name: string;
  /** The values of a row first. */
  dimensions: number[];
  type: number;
  data: Uint8Array;
  /** Where its data is said to be, if not where it is. */
  offset?: number;
}

export interface Parts {
  version: number;
  metadata: Map<string, Value>;
  tensors: Tensor[];
}

const STRING = 8;
const LIST = 9;
const ALIGNMENT = 32;
/** Bytes of a value of each type of a fixed size, and the kind of number it is. */
const NUMBERS: Record<number, [bytes: number, kind: "Uint" | "Int" | "Float" | "BigUint" | "BigInt"]> = {
  ...{ 0: [1, "Uint"], 1: [1, "Int"], 2: [2, "Uint"], 3: [2, "Int"], 4: [4, "Uint"], 5: [4, "Int"], 6: [4, "Float"] },
  ...{ 7: [1, "Uint"], 10: [8, "BigUint"], 11: [8, "BigInt"], 12: [8, "Float"] },
};

type Getter = (at: number, little: boolean) => number | bigint;
type Setter = (at: number, value: number | bigint, little: boolean) => void;
const method = <T>(view: DataView, name: string) =>
  (view[name as keyof DataView] as unknown as (...args: never) => T).bind(view);

/** The parts of a valid file. */
export function decodeGguf(file: Uint8Array): Parts {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = 4;
  const number = (type: number) => {
    const [bytes, kind] = NUMBERS[type]!;
    at += bytes;
    return Number((method(view, `get${kind}${bytes * 8}`) as unknown as Getter)(at - bytes, true));
  };
  const string = () => {
    const length = number(10);
    at += length;
    return new TextDecoder().decode(file.subarray(at - length, at));
  };
  const value = (type: number): unknown => (type === STRING ? string() : number(type));
  const version = number(4);
  const [tensorCount, keyCount] = [number(10), number(10)];
  const metadata = new Map<string, Value>();
  for (let i = 0; i < keyCount; i++) {
    const key = string();
    const type = number(4);
    if (type !== LIST) metadata.set(key, { type, value: value(type) });
    else {
      const elements = number(4);
      metadata.set(key, { type, elements, value: Array.from({ length: number(10) }, () => value(elements)) });
    }
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = string();
    const dimensions = Array.from({ length: number(4) }, () => number(10));
    return { name, dimensions, type: number(4), offset: number(10) };
  });
  const start = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
  const tensors = infos.map(({ offset, ...info }, i): Tensor => {
    const end = infos[i + 1]?.offset ?? file.length - start;
    return { ...info, data: file.slice(start + offset, start + end) };
  });
  return { version, metadata, tensors };
}

/** The bytes of a file. The data of every tensor is padded to the alignment. */
export function encodeGguf({ version, metadata, tensors }: Parts, alignment = ALIGNMENT): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [new TextEncoder().encode("GGUF")];
  const number = (type: number, value: unknown) => {
    const [bytes, kind] = NUMBERS[type]!;
    const piece = new Uint8Array(bytes);
    const set = method(new DataView(piece.buffer), `set${kind}${bytes * 8}`) as unknown as Setter;
    set(0, kind.startsWith("Big") ? BigInt(Math.trunc(Number(value))) : Number(value), true);
    pieces.push(piece);
  };
  const string = (text: unknown) => {
    const bytes = new TextEncoder().encode(String(text));
    number(10, bytes.length);
    pieces.push(bytes);
  };
  const put = (type: number, value: unknown) => (type === STRING ? string(value) : number(type, value));
  number(4, version);
  number(10, tensors.length);
  number(10, metadata.size);
  for (const [key, { type, elements, value }] of metadata) {
    string(key);
    number(4, type);
    if (elements === undefined) put(type, value);
    else {
      number(4, elements);
      number(10, (value as unknown[]).length);
      for (const one of value as unknown[]) put(elements, one);
    }
  }
  const padded = (bytes: number) => Math.ceil(bytes / alignment) * alignment;
  let end = 0;
  for (const { name, dimensions, type, data, offset } of tensors) {
    string(name);
    number(4, dimensions.length);
    for (const size of dimensions) number(10, size);
    number(4, type);
    number(10, offset ?? end);
    end += padded(data.length);
  }
  const header = pieces.reduce((sum, { length }) => sum + length, 0);
  pieces.push(new Uint8Array(padded(header) - header));
  for (const { data } of tensors) pieces.push(data, new Uint8Array(padded(data.length) - data.length));
  return new Uint8Array(Buffer.concat(pieces));
}
