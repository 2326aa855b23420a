// The way to /api/v1: one function that asks, and one kind of error that says in words what went wrong.
import { clock } from './clock.svelte';
import { encodeEndpoint, split } from './paths';
import { session } from './session.svelte';
import type { BootstrapRun, Client, EndpointCredentials, Knock, Link, ObjectDefinition, Observation, NewCredential, Plan, Profile, ProfilePut, Reading, Request, ServerIdentity, Written } from './types';

/** Where the API is, beside wherever this page was served: also behind a proxy that adds a prefix. */
export const apiBase = new URL('api/v1/', document.baseURI).href;

/** An answer that is not the wished one: a problem+json document, or our own words where none came. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string = '',
    readonly coap: string = '',
    readonly remedy: string = '',
  ) {
    super(title);
  }

  static from(thrown: unknown): Problem {
    if (thrown instanceof Problem) return thrown;
    return new Problem(0, 'ui_fault', 'This page made a mistake', String(thrown));
  }
}

export interface Answer<T> {
  data: T;
  /** The code of the Client's own answer, such as `2.05`; empty when the Client was not asked. */
  coap: string;
  /** Set when the Client was not reached yet: what now waits for it. */
  request: Request | null;
}

type Query = Record<string, string | number | boolean | null | undefined>;

export async function ask<T>(method: string, path: string, query: Query = {}, body?: unknown): Promise<Answer<T>> {
  const url = new URL(path, apiBase);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(key, String(value));
  }
  const headers: Record<string, string> = { accept: 'application/json' };
  if (session.token) headers['authorization'] = `Bearer ${session.token}`;
  // The server wants the header on every mutating request, with or without a body.
  if (method !== 'GET') headers['content-type'] = 'application/json';

  let response: Response;
  try {
    response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store' });
  } catch {
    throw new Problem(0, 'unreachable', 'The server cannot be reached', 'No connection to the dunlin server. Is it still running?');
  }
  clock.adjust(response.headers.get('date'));
  const text = await response.text();
  const data = parse(text);
  if (response.status === 401) session.refused();
  if (!response.ok) throw problemOf(response, data, text);
  const request = response.status === 202 ? ((data as { request?: Request } | null)?.request ?? null) : null;
  return { data: data as T, coap: response.headers.get('dunlin-coap') ?? '', request };
}

function parse(text: string): unknown {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

function problemOf(response: Response, data: unknown, text: string): Problem {
  const problem = (data ?? {}) as Record<string, unknown>;
  const word = (key: string) => (typeof problem[key] === 'string' ? (problem[key] as string) : '');
  return new Problem(
    response.status,
    word('code') || `http_${response.status}`,
    word('title') || response.statusText || `HTTP ${response.status}`,
    word('detail') || (data === null ? text.slice(0, 200) : ''),
    word('coap') || (response.headers.get('dunlin-coap') ?? ''),
    word('remedy'),
  );
}

const client = (endpoint: string) => `clients/${encodeEndpoint(endpoint)}`;
const at = (endpoint: string, path: string) => `${client(endpoint)}/${split(path).join('/')}`;

export const listClients = (q: string, cursor: string | null, limit: number, registered: boolean) =>
  ask<{ clients: Client[]; next: string | null; total?: number }>('GET', 'clients', {
    q: q || undefined,
    cursor,
    limit,
    registered: registered ? undefined : false,
  });
export const oneClient = (endpoint: string) => ask<Client>('GET', client(endpoint));
export const forgetClient = (endpoint: string) => ask<null>('DELETE', client(endpoint));

export const read = (endpoint: string, path: string) => ask<Reading>('GET', at(endpoint, path));
export const readCached = (endpoint: string, path: string) => ask<Reading>('GET', at(endpoint, path), { cached: true });
export const write = (endpoint: string, path: string, body: Written) => ask<null>('PUT', at(endpoint, path), {}, body);
export const execute = (endpoint: string, path: string, args: string) =>
  ask<null>('POST', at(endpoint, path), {}, args ? { arguments: args } : {});
export const create = (endpoint: string, object: number, body: Written) =>
  ask<{ path?: string } | null>('POST', at(endpoint, `/${object}`), {}, body);
export const remove = (endpoint: string, path: string) => ask<null>('DELETE', at(endpoint, path));
export const discover = (endpoint: string, path: string) => ask<{ path: string; links: Link[] }>('GET', `${at(endpoint, path)}/discover`);
export const writeAttributes = (endpoint: string, path: string, attributes: Record<string, string>) =>
  ask<null>('PUT', `${at(endpoint, path)}/attributes`, attributes);
export const observe = (endpoint: string, path: string) => ask<Reading | null>('POST', `${at(endpoint, path)}/observe`);
export const cancelObservation = (endpoint: string, path: string) => ask<null>('DELETE', `${at(endpoint, path)}/observe`);
export const observations = (endpoint: string) => ask<{ observations: Observation[] }>('GET', `${client(endpoint)}/observations`);

export const clientRequests = (endpoint: string) => ask<{ requests: Request[] }>('GET', `${client(endpoint)}/requests`);
export const allRequests = () => ask<{ requests: Request[] }>('GET', 'requests', { limit: REQUESTS_MAX });
/** The most that the server lists at once. */
export const REQUESTS_MAX = 1000;
export const oneRequest = (id: string) => ask<Request>('GET', `requests/${encodeURIComponent(id)}`);
export const cancelRequest = (id: string) => ask<Request>('DELETE', `requests/${encodeURIComponent(id)}`);

export const listCredentials = (q: string, cursor: string | null) =>
  ask<{ endpoints: EndpointCredentials[]; next: string | null; total: number }>('GET', 'credentials', { q: q || undefined, cursor, limit: 100 });
const credentialsOf = (endpoint: string) => `credentials/${encodeEndpoint(endpoint)}`;
export const addCredential = (endpoint: string, credential: NewCredential) =>
  ask<EndpointCredentials>('POST', credentialsOf(endpoint), {}, { credentials: [credential] });
export const removeCredential = (endpoint: string, id: string) => ask<null>('DELETE', `${credentialsOf(endpoint)}/${encodeURIComponent(id)}`);
export const serverIdentity = () => ask<ServerIdentity>('GET', 'server/identity');
export const listProfiles = () => ask<{ profiles: Profile[] }>('GET', 'profiles');
export const putProfile = (name: string, profile: unknown, dryRun: boolean) =>
  ask<ProfilePut>('PUT', `profiles/${encodeURIComponent(name)}`, { dry_run: dryRun }, profile);
export const removeProfile = (name: string) => ask<null>('DELETE', `profiles/${encodeURIComponent(name)}`);
export const bootstrapPlan = (endpoint: string, profile: string) => ask<Plan>('GET', `bootstrap/plan/${encodeEndpoint(endpoint)}`, { profile });
export const bootstrapRuns = (endpoint = '') => ask<{ runs: BootstrapRun[] }>('GET', 'bootstrap/runs', { endpoint: endpoint || undefined, limit: 50 });

export const listKnocks = () => ask<{ knocks: Knock[] }>('GET', 'knocks');

export const objectList = () => ask<{ objects: ObjectDefinition[] }>('GET', 'objects');
export const objectDefinition = (id: number, version: string) => ask<ObjectDefinition>('GET', `objects/${id}/${encodeURIComponent(version)}`);
