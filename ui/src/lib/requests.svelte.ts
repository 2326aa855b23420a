// What was asked of Clients and is not answered yet, and how it ended. Fed by answers (202), lists and `completed` events.
import { SvelteMap } from 'svelte/reactivity';
import { allRequests, clientRequests, oneRequest, Problem, REQUESTS_MAX } from './api';
import { stream } from './stream.svelte';
import type { Request } from './types';

export const isOpen = (request: Request) => request.state === 'queued' || request.state === 'sent';

/** Ended requests kept for reading; the server keeps them longer. */
const ENDED_MAX = 300;

class Requests {
  byId = new SvelteMap<string, Request>();
  problem = $state<Problem | null>(null);

  constructor() {
    stream.listen((batch) => {
      for (const { type, data } of batch) {
        if (type === 'completed' && data.request) this.take(data.request);
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
      this.take((await oneRequest(id)).data);
    } catch (thrown) {
      // The server keeps ended requests for a while only.
      if (Problem.from(thrown).status === 404) this.byId.delete(id);
    }
  }

  async loadClient(endpoint: string) {
    const { data } = await clientRequests(endpoint);
    this.#takeAll(data.requests, (r) => r.endpoint === endpoint);
  }

  async loadAll() {
    try {
      this.#takeAll((await allRequests()).data.requests, () => true);
      this.problem = null;
    } catch (thrown) {
      this.problem = Problem.from(thrown);
    }
  }

  /** The list is the truth: what it no longer names and we believed open is asked for once more. */
  #takeAll(list: Request[], covers: (request: Request) => boolean) {
    const listed = new Set(list.map((r) => r.id));
    for (const request of list) this.take(request);
    if (list.length >= REQUESTS_MAX) return;
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
