/**
 * Makes the page work offline: caches the files of one build, a large one once it is used, and serves these files. A
 * newer build has its own cache and waits until no page of the older build is open, or until the only open page
 * requests it (`offline.ts`).
 */
declare const self: ServiceWorkerGlobalScope;

/** Set by the build: the files of the page, those that are kept once they are used, and a hash over all of them. */
declare const FILES: readonly string[];
declare const ONCE_USED: readonly string[];
declare const VERSION: string;

const PREFIX = "lowrank-page-";
const CACHE = PREFIX + VERSION;

self.addEventListener("install", (event) => event.waitUntil(keepFiles()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
self.addEventListener("message", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && new URL(url).origin === location.origin) event.respondWith(answer(event));
});

async function keepFiles(): Promise<void> {
  const used: string[] = [];
  for (const file of ONCE_USED) if (await isUsed(file)) used.push(file);
  const cache = await caches.open(CACHE);
  // "./" is index.html as well. `no-cache`: the browser's HTTP cache may hold files of an older build.
  await cache.addAll(["./", ...FILES, ...used].map((file) => new Request(file, { cache: "no-cache" })));
}

/** Whether an older build has kept a file, or the browser has loaded it before there was a service worker. */
async function isUsed(file: string): Promise<boolean> {
  if (await caches.match(file)) return true;
  const loaded = fetch(file, { cache: "only-if-cached", mode: "same-origin" });
  return loaded.then(
    ({ ok }) => ok,
    () => false,
  );
}

async function forgetOthers(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

async function takeOver(): Promise<void> {
  const pages = await self.clients.matchAll({ includeUncontrolled: true });
  if (pages.length <= 1) await self.skipWaiting();
}

async function answer(event: FetchEvent): Promise<Response> {
  const { request } = event;
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept || !ONCE_USED.some((file) => new URL(file, location.href).href === request.url))
    return kept ?? fetch(request);
  const loaded = await fetch(request.url, { cache: "no-cache", signal: request.signal });
  // A browser without space serves it all the same.
  if (loaded.ok) event.waitUntil(cache.put(request, loaded.clone()).catch(() => {}));
  return loaded;
}

export {};
