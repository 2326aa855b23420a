// One page of the list of Clients, kept fresh: by events where they say what changed, by asking again where not.
import { listClients, listKnocks, Problem } from './api';
import { clock } from './clock.svelte';
import { stream } from './stream.svelte';
import type { Client, Knock, Presence } from './types';

export const PAGE_SIZE = 50;
/** A refresh that changes nothing makes no event, so the page is asked for again this often. */
const RELOAD_MS = 10000;
/** Events that change the list come in flocks; one question answers them all. */
const GATHER_MS = 600;

class ClientList {
  rows = $state<Client[]>([]);
  next = $state<string | null>(null);
  /** The cursors of the pages before this one. */
  before = $state<(string | null)[]>([]);
  q = $state('');
  registered = $state(true);
  /** Who was refused lately, the last one first. */
  knocks = $state.raw<Knock[]>([]);
  loaded = $state(false);
  problem = $state<Problem | null>(null);
  /** When each Client was last heard of, as far as events told us. */
  heard = $state<Record<string, number>>({});

  #cursor: string | null = null;
  #turn = 0;
  #gather: ReturnType<typeof setTimeout> | undefined;

  /** Follows the list until the returned function is called. */
  follow(): () => void {
    const unlisten = stream.listen((batch) => {
      for (const { type, at, data } of batch) {
        if (type === 'refused') void this.loadKnocks();
        if (!data.endpoint) continue;
        this.heard[data.endpoint] = Math.max(this.heard[data.endpoint] ?? 0, fromClient.has(type) ? at : 0);
        const row = this.rows.find((c) => c.endpoint === data.endpoint);
        if (row && (type === 'awake' || type === 'asleep')) {
          row.presence = type as Presence;
        }
        if (changesList.has(type)) this.#soon();
      }
    });
    const timer = setInterval(() => !document.hidden && void this.load(), RELOAD_MS);
    return () => {
      unlisten();
      clearInterval(timer);
      clearTimeout(this.#gather);
      this.#gather = undefined;
    };
  }

  #soon() {
    this.#gather ??= setTimeout(() => {
      this.#gather = undefined;
      void this.load();
    }, GATHER_MS);
  }

  async load() {
    const turn = ++this.#turn;
    try {
      const { data } = await listClients(this.q, this.#cursor, PAGE_SIZE, this.registered);
      if (turn !== this.#turn) return;
      this.rows = data.next === null && !this.before.length ? data.clients.sort(byName) : data.clients;
      this.next = data.next;
      this.problem = null;
      this.loaded = true;
    } catch (thrown) {
      if (turn === this.#turn) this.problem = Problem.from(thrown);
    }
  }

  async loadKnocks() {
    // A side matter: the list says when the server is gone.
    this.knocks = await listKnocks().then(
      ({ data }) => data.knocks,
      () => this.knocks,
    );
  }

  search(q: string, registered = this.registered) {
    this.q = q;
    this.registered = registered;
    this.#cursor = null;
    this.before = [];
    return this.load();
  }

  forward() {
    if (!this.next) return;
    this.before = [...this.before, this.#cursor];
    this.#cursor = this.next;
    return this.load();
  }

  back() {
    if (!this.before.length) return;
    this.#cursor = this.before.at(-1) ?? null;
    this.before = this.before.slice(0, -1);
    return this.load();
  }

  lastContact(client: Client): number {
    return Math.min(clock.read(), Math.max(Date.parse(client.last_contact_at ?? client.updated_at), this.heard[client.endpoint] ?? 0));
  }
}

/** The server pages in an order of its own; what fits on one page is told by name. */
const byName = (a: Client, b: Client) => a.endpoint.localeCompare(b.endpoint, 'en', { numeric: true });

const fromClient = new Set(['registered', 'updated', 'awake', 'notified', 'sent', 'deregistered']);
const changesList = new Set(['registered', 'updated', 'deregistered', 'expired', 'over_budget']);

export const clientList = new ClientList();
