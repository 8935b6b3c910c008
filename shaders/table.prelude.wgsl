// An element of the token table in f32 or f16.

fn token_at(i: u32) -> f32 {
  return wte_at(i);
}
