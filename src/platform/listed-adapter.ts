/** A GPU as a system's driver, as WebGPU's implementation lists it. */
export interface ListedAdapter {
  /** "NVIDIA GeForce RTX 3080", "llvmpipe (LLVM 19.1.7, 256 bits)". */
  name: string;
  /** "vulkan", "d3d12", "metal". */
  backend: string;
  /** Whether it cannot be opened, because an earlier one has the same name, or a longer one. */
  isHidden: boolean;
}
