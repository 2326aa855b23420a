// What was asked of Clients and is not answered yet, and how it ended. Fed by answers (202), lists and `completed` events.
import { SvelteMap } from 'svelte/reactivity';
import { allRequests, clientRequests, listClients, listOf, oneRequest, Problem } from './api';
import { stream } from './stream.svelte';
import type { Request } from './types';

export const isOpen = (request: Request) => request.state === 'queued' || request.state === 'sent';

/** Ended requests kept for reading; the server keeps them longer. */
const ENDED_MAX = 300;
/** Clients asked one by one where the server has no list of all requests. */
const CLIENTS_ASKED_MAX = 100;

class Requests {
  byId = new SvelteMap<string, Request>();
  problem = $state<Problem | null>(null);
  loaded = $state(false);

  constructor() {
    stream.listen((batch) => {
      for (const { type, data } of batch) {
        if (type !== 'completed') continue;
        const request = data.request as Request | string | undefined;
        const id = typeof request === 'string' ? request : (request?.id ?? (data['request_id'] as string | undefined));
        if (typeof request === 'object' && request.state) this.take(request);
        else if (id && this.byId.has(id)) void this.refresh(id);
      }
    });
  }

  take(request: Request) {
    const before = this.byId.get(request.id);
    this.byId.set(request.id, { ...before, ...request });
    if (this.byId.size > ENDED_MAX) {
      for (const [id, old] of this.byId) {
        if (this.byId.size <= ENDED_MAX) break;
        if (!isOpen(old)) this.byId.delete(id);
      }
    }
  }

  async refresh(id: string) {
    try {
      const { data } = await oneRequest(id);
      this.take((data as unknown as { request?: Request }).request ?? data);
    } catch {
      // The list says it again soon.
    }
  }

  async loadClient(endpoint: string) {
    const { data } = await clientRequests(endpoint);
    this.#takeAll(listOf<Request>(data, 'requests'), (r) => r.endpoint === endpoint);
  }

  async loadAll() {
    try {
      this.#takeAll(await this.#everywhere(), () => true);
      this.problem = null;
      this.loaded = true;
    } catch (thrown) {
      this.problem = Problem.from(thrown);
    }
  }

  async #everywhere(): Promise<Request[]> {
    try {
      return listOf<Request>((await allRequests()).data, 'requests');
    } catch (thrown) {
      const status = Problem.from(thrown).status;
      if (status !== 404 && status !== 405) throw thrown;
    }
    const { clients } = (await listClients('', null, CLIENTS_ASKED_MAX, true)).data;
    const lists = await Promise.all(clients.map((c) => clientRequests(c.endpoint).then(({ data }) => listOf<Request>(data, 'requests'))));
    return lists.flat();
  }

  /** The list is the truth: what it no longer names and we believed open is asked for once more. */
  #takeAll(list: Request[], covers: (request: Request) => boolean) {
    const listed = new Set(list.map((r) => r.id));
    for (const request of list) this.take(request);
    for (const [id, request] of this.byId) if (isOpen(request) && covers(request) && !listed.has(id)) void this.refresh(id);
  }

  of(endpoint: string): Request[] {
    return newestFirst([...this.byId.values()].filter((r) => r.endpoint === endpoint));
  }
  get all(): Request[] {
    return newestFirst([...this.byId.values()]);
  }
  get open(): number {
    let n = 0;
    for (const request of this.byId.values()) if (isOpen(request)) n++;
    return n;
  }
}

const newestFirst = (list: Request[]) => list.sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));

export const requests = new Requests();
