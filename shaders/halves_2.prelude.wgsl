// Tiles of 64 x 64 (matmul_tile).
const HALVES = 2u;
