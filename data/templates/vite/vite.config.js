export default {
  // The worker loads scripts on demand, which only modules can.
  worker: { format: "es" },
  // Before Vite 8: its server must not move the package's scripts away from its files.
  optimizeDeps: { exclude: ["lowrank"] },
  // With them the CPU's threads share memory; the host of the built site should send them, too.
  server: {
    headers: { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" },
  },
};
