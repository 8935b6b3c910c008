/** Registers the service worker, and changes to a newer build where that disturbs nobody. */

/** Call it once, when nothing is under way in the page. */
export async function keepForOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  const container = navigator.serviceWorker;
  const registration = await container.register("service-worker.js");
  if (!registration.waiting || !container.controller) return;
  container.addEventListener("controllerchange", () => location.reload(), { once: true });
  registration.waiting.postMessage("take over");
}
