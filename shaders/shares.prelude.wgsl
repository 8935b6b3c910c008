// The rows of a member's share of the batch: its tokens, or its sequences where by_sequence is not 0.

fn first_row(member: u32, by_sequence: u32) -> u32 {
  return select(shares[member].token, shares[member].sequence, by_sequence != 0u);
}

fn row_count(member: u32, by_sequence: u32) -> u32 {
  return select(shares[member].tokens, shares[member].sequences, by_sequence != 0u);
}
