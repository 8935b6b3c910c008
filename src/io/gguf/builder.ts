/** Bytes that are appended to. Numbers are little-endian. */
export class Builder {
  private bytes = new Uint8Array(1 << 10);
  private length = 0;

  /** Room for `count` more bytes. */
  private room(count: number): DataView {
    if (this.length + count > this.bytes.length) {
      const larger = new Uint8Array(2 * (this.length + count));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.length += count;
    return new DataView(this.bytes.buffer, this.length - count, count);
  }

  u8(value: number): this {
    this.room(1).setUint8(0, value);
    return this;
  }

  u32(value: number): this {
    this.room(4).setUint32(0, value, true);
    return this;
  }

  i32(value: number): this {
    this.room(4).setInt32(0, value, true);
    return this;
  }

  f32(value: number): this {
    this.room(4).setFloat32(0, value, true);
    return this;
  }

  u64(value: number): this {
    this.room(8).setBigUint64(0, BigInt(value), true);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length - bytes.length);
    return this;
  }

  done(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }
}
