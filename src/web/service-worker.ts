/**
 * Makes the page work offline: caches every file of one build and serves these files. A newer build has its own cache
 * and waits until no page of the older build is open, or until the only open page requests it (`offline.ts`).
 */
declare const self: ServiceWorkerGlobalScope;

/** Set by the build: the files of the page, and a hash over all of them. */
declare const FILES: readonly string[];
declare const VERSION: string;

const PREFIX = "lowrank-page-";
const CACHE = PREFIX + VERSION;

self.addEventListener("install", (event) => event.waitUntil(keepFiles()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
self.addEventListener("message", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && new URL(url).origin === location.origin) event.respondWith(answer(event.request));
});

async function keepFiles(): Promise<void> {
  const cache = await caches.open(CACHE);
  // "./" is index.html as well. `no-cache`: the browser's HTTP cache may hold files of an older build.
  await cache.addAll(["./", ...FILES].map((file) => new Request(file, { cache: "no-cache" })));
}

async function forgetOthers(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

async function takeOver(): Promise<void> {
  const pages = await self.clients.matchAll({ includeUncontrolled: true });
  if (pages.length <= 1) await self.skipWaiting();
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
}

export {};
