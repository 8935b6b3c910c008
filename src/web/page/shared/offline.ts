/** Registers the service worker, and switches to a newer build if no other tab is open. */

/** Call it once, while no run is active. */
export async function keepForOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  const container = navigator.serviceWorker;
  const registration = await container.register("service-worker.js");
  if (registration.waiting && container.controller) {
    container.addEventListener("controllerchange", () => location.reload(), { once: true });
    // After a reload on a busy machine, the page before it may still count as open.
    for (const delay of [0, 300, 1000]) setTimeout(() => registration.waiting?.postMessage("take over"), delay);
  } else {
    // Fetches a newer build for the next visit; fails without a network.
    await registration.update().catch(() => {});
  }
}
