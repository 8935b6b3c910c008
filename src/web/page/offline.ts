/** Registers the service worker, and changes to a newer build where that disturbs nobody. */

/** Call it once, when nothing is under way in the page. */
export async function keepForOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  const container = navigator.serviceWorker;
  const registration = await container.register("service-worker.js");
  if (registration.waiting && container.controller) {
    container.addEventListener("controllerchange", () => location.reload(), { once: true });
    registration.waiting.postMessage("take over");
  } else {
    // Looks for a newer build, for the next visit. Without a network there is none to be found.
    await registration.update().catch(() => {});
  }
}
