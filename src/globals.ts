/** Types of a page or of Node, for programs that are compiled without `lib.dom` and without @types/node. */
declare global {
  interface AbortSignal {}
  interface Blob {}
  interface RequestInit {}
  interface Response {}
  interface URL {}
  namespace WebAssembly {
    interface Memory {}
  }
}

export {};
