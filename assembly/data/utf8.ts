// UTF-8 decoding by the WHATWG Encoding Standard: each maximal part of an invalid sequence becomes one U+FFFD.

// The valid range of the byte after a lead byte, and the number of continuation bytes; set by `read_lead`.
let needed: i32 = 0;
let lower: u32 = 0x80;
let upper: u32 = 0xbf;

/** Reads a lead byte >= 0x80; false if no sequence can begin with it. */
function read_lead(byte: u32): bool {
  lower = 0x80;
  upper = 0xbf;
  if (byte >= 0xc2 && byte <= 0xdf) {
    needed = 1;
  } else if (byte >= 0xe0 && byte <= 0xef) {
    needed = 2;
    if (byte == 0xe0) lower = 0xa0;
    if (byte == 0xed) upper = 0x9f;
  } else if (byte >= 0xf0 && byte <= 0xf4) {
    needed = 3;
    if (byte == 0xf0) lower = 0x90;
    if (byte == 0xf4) upper = 0x8f;
  } else {
    return false;
  }
  return true;
}

/** The length of the sequence at `text`, or minus the length of an invalid part; `length` >= 1 bytes are left. */
function sequence(text: usize, length: i32): i32 {
  const lead = <u32>load<u8>(text);
  if (lead < 0x80) return 1;
  if (!read_lead(lead)) return -1;
  const whole = needed + 1;
  for (let i = 1; i < whole; i++) {
    if (i == length) return -i;
    const byte = <u32>load<u8>(text + i);
    if (byte < lower || byte > upper) return -i;
    lower = 0x80;
    upper = 0xbf;
  }
  return whole;
}

/** Where the first invalid sequence begins in `length` bytes at `text`; -1: valid UTF-8. */
export function utf8_fault(text: usize, length: i32): i32 {
  let i = 0;
  while (i < length) {
    const step = sequence(text + i, length - i);
    if (step < 0) return i;
    i += step;
  }
  return -1;
}

/** Writes a code point, not a surrogate, as UTF-8; returns its length, 1 to 4. */
export function put_code_point(out: usize, code: u32): i32 {
  if (code < 0x80) {
    store<u8>(out, code);
    return 1;
  }
  if (code < 0x800) {
    store<u8>(out, 0xc0 | (code >> 6));
    store<u8>(out, 0x80 | (code & 0x3f), 1);
    return 2;
  }
  if (code < 0x10000) {
    store<u8>(out, 0xe0 | (code >> 12));
    store<u8>(out, 0x80 | ((code >> 6) & 0x3f), 1);
    store<u8>(out, 0x80 | (code & 0x3f), 2);
    return 3;
  }
  store<u8>(out, 0xf0 | (code >> 18));
  store<u8>(out, 0x80 | ((code >> 12) & 0x3f), 1);
  store<u8>(out, 0x80 | ((code >> 6) & 0x3f), 2);
  store<u8>(out, 0x80 | (code & 0x3f), 3);
  return 4;
}
