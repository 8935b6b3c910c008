// Tiles of 32 x 32 (matmul_tile).
const HALVES = 1u;
