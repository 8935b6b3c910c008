/** A worker that the host has started. */
export interface WorkerHandle {
  post(message: unknown): void;
  /** Whether the worker keeps the process alive. */
  keepAlive(busy: boolean): void;
  terminate(): void;
}
