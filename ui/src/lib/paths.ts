// How an endpoint name becomes a path segment: percent-encoded, or ~base64url where a slash (or a name of dots only)
// would not survive the way through proxies and URL parsers.

export function encodeEndpoint(name: string): string {
  if (name.includes('/') || /^\.+$/.test(name) || name.startsWith('~')) return '~' + base64url(name);
  return encodeURIComponent(name);
}

export function decodeEndpoint(segment: string): string {
  if (!segment.startsWith('~')) return decodeURIComponent(segment);
  const bytes = Uint8Array.from(atob(segment.slice(1).replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  return new TextDecoder().decode(bytes);
}

function base64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '');
}

/** `3/0/1` and `/3/0/1` are the same path; inside the UI it is written `/3/0/1`. */
export function rooted(path: string): string {
  return path.startsWith('/') ? path : '/' + path;
}

export function split(path: string): number[] {
  return path.split('/').filter(Boolean).map(Number);
}
