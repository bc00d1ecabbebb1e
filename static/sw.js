/**
 * The worker: keeps the chat page for a time without a network. It asks the network first, always, so nobody is shown an
 * old page while there is a newer one; what is asked of the API passes it by. Of each file it keeps one version, whatever
 * the page called it: kept by their whole addresses, they would pile up.
 */

const KEPT = 'parley.page.v1';
/** A network that is slower than this is none. */
const PATIENCE_MS = 4_000;

self.addEventListener('install', (event) => event.waitUntil(keepPage()));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  const { pathname, origin } = new URL(event.request.url);
  const isOurs = origin === self.location.origin && event.request.method === 'GET';
  if (isOurs && (pathname === '/' || pathname.startsWith('/static/'))) event.respondWith(answer(event.request));
});

/** The page, and all that it names. */
async function keepPage() {
  const page = await fetch('/');
  const names = [...(await page.clone().text()).matchAll(/(?:href|src)="(\/static\/[^"]+)"/g)].map(([, name]) => name);
  const cache = await caches.open(KEPT);
  await Promise.all([cache.put('/', page), ...[...new Set(names)].map((name) => keepFile(cache, name))]);
  await self.skipWaiting();
}

/** @param {Cache} cache @param {string} name */
async function keepFile(cache, name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  await cache.put(keyOf(name), response);
}

/** A file's address without the version in it. @param {string} address */
function keyOf(address) {
  return new URL(address, self.location.origin).pathname.replace(/^\/static\/[0-9a-f]{12}\//, '/static/');
}

/** @param {Request} request */
async function answer(request) {
  const cache = await caches.open(KEPT);
  const key = keyOf(request.url);
  const kept = await cache.match(key);
  try {
    const signal = kept === undefined ? undefined : AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(request, { signal });
    if (response.status === 200) await cache.put(key, response.clone());
    return response.status >= 500 && kept !== undefined ? kept : response;
  } catch (error) {
    if (kept !== undefined) return kept;
    throw error;
  }
}
