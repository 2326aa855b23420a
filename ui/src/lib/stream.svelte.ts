// The one event stream of this page: /api/v1/events, read with fetch so that a token can be sent with it.
//
// 1. connect, with the position of the last event seen, so that nothing is missed;
// 2. hand events on in batches (a busy fleet must not redraw the page for each of them);
// 3. when the connection ends, say so, try again with growing pauses, and say what was caught up;
// 4. when nobody looks for a while, let go of the connection and resume when somebody does.
import { apiBase } from './api';
import { clock } from './clock.svelte';
import { session } from './session.svelte';
import type { EventData } from './types';

export interface FeedEvent {
  key: number;
  type: string;
  at: number;
  data: EventData;
}

/** Events kept for the feed and the charts; older ones are in the server's log. */
export const FEED_MAX = 3000;
/** Batches leave this far apart: five redraws a second look live and cost little. */
const BATCH_MS = 200;
/** The rate is told for so long a time. */
const RATE_MS = 5000;
const RETRY_FIRST_MS = 1000;
const RETRY_MAX_MS = 15000;
/** The server sends at least a comment more often than this; silence means a dead connection. */
const SILENCE_MAX_MS = 60000;
/** A tab in the background keeps its stream for this long (browsers allow six connections to one host). */
const HIDDEN_MAX_MS = 60000;
/** Further behind than this with a full batch, the page cannot follow and goes on with what is new. */
const BEHIND_MAX_MS = 20000;
const BEHIND_BATCH = 1000;
/** The log has been read to its end when nothing comes for this long. */
const REPLAY_IDLE_MS = 900;
/** Events taken from the log on demand: enough for a chart and a feed, bounded for a busy fleet. */
const REPLAY_MAX = 20000;
const sessionKey = 'dunlin.feed-start';

type Listener = (batch: FeedEvent[]) => void;

class Stream {
  status = $state<'connecting' | 'live' | 'lost' | 'resting'>('connecting');
  lostAt = $state(0);
  retryAt = $state(0);
  /** What the last reconnection brought, until read. */
  note = $state('');
  /** Events per second, over the last few. */
  rate = $state<number | null>(null);
  /** Counts connections made; what may have changed meanwhile is asked for anew. */
  connections = $state(0);
  /** Oldest first. */
  events = $state.raw<FeedEvent[]>([]);

  #listeners = new Set<Listener>();
  #pending: FeedEvent[] = [];
  #marks: { key: number; id: string }[] = [];
  #key = 0;
  #count = 0;
  #lastId: string | null = sessionStorage.getItem(sessionKey);
  #abort: AbortController | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #hidden: ReturnType<typeof setTimeout> | undefined;
  #pause = RETRY_FIRST_MS;
  #caughtUp = 0;
  #gap = false;
  #resumedAt = 0;

  start() {
    setInterval(() => this.#flush(), BATCH_MS);
    setInterval(() => {
      this.rate = this.#count / (RATE_MS / 1000);
      this.#count = 0;
    }, RATE_MS);
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.#hidden);
      if (document.hidden) this.#hidden = setTimeout(() => this.#rest(), HIDDEN_MAX_MS);
      else if (this.status === 'resting') this.connect();
    });
    this.connect();
  }

  /** Calls back with every batch until the returned function is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  connect() {
    clearTimeout(this.#retry);
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    if (this.status === 'resting') this.status = 'connecting';
    this.#run(abort).then(
      () => this.#lost(abort),
      () => this.#lost(abort),
    );
  }

  #rest() {
    this.status = 'resting';
    clearTimeout(this.#retry);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #run(abort: AbortController) {
    const headers: Record<string, string> = { accept: 'text/event-stream' };
    if (session.token) headers['authorization'] = `Bearer ${session.token}`;
    if (this.#lastId) headers['last-event-id'] = this.#lastId;
    const response = await fetch(new URL('events', apiBase), { headers, signal: abort.signal, cache: 'no-store' });
    if (response.status === 401) return session.refused();
    if (!response.ok || !response.body) {
      // A position that the server cannot read any more must not keep us out for ever.
      if (response.status === 400) this.#lastId = null;
      return;
    }
    clock.adjust(response.headers.get('date'));
    this.#welcome();
    await eachEvent(response.body, abort, SILENCE_MAX_MS, (event) => this.#take(event));
  }

  #welcome() {
    this.#resumedAt = clock.read();
    this.#caughtUp = 0;
    this.#gap = false;
    this.#pause = RETRY_FIRST_MS;
    this.status = 'live';
    this.connections++;
    if (!this.lostAt) return;
    const away = clock.read() - this.lostAt;
    this.lostAt = 0;
    // What was missed comes at once; a moment later it can be counted.
    setTimeout(() => {
      const seconds = Math.max(1, Math.round(away / 1000));
      const events = this.#caughtUp === 0 ? 'Nothing happened meanwhile' : this.#caughtUp === 1 ? 'One event caught up, none missed' : `${this.#caughtUp} events caught up, none missed`;
      this.note = `Connected again after ${seconds}\u202fs. ` + (this.#gap ? 'Some events in between are older than the server keeps; they are gone from the log.' : `${events}.`);
    }, 1200);
  }

  #take(told: Told) {
    if (told.type === '') {
      // The server says where its log stands: whoever comes back before the first event misses nothing.
      this.#lastId = told.id;
      if (!this.#marks.length && told.id) this.#marks.push({ key: this.#key, id: told.id });
      return;
    }
    const event = { key: ++this.#key, type: told.type, at: told.at, data: told.data };
    if (told.id) {
      this.#lastId = told.id;
      this.#marks.push({ key: event.key, id: told.id });
    }
    if (told.type === 'gap') this.#gap = true;
    if (this.#resumedAt && told.at < this.#resumedAt) this.#caughtUp++;
    this.#pending.push(event);
  }

  /** Puts before the feed what the log keeps from before it. */
  async loadEarlier(filter: { endpoint?: string; types?: string }) {
    const seen = new Set(this.#marks.map((mark) => mark.id));
    const earlier: FeedEvent[] = [];
    await replay(filter, (told) => {
      if (told.id && seen.has(told.id)) return false;
      earlier.push({ key: 0, type: told.type, at: told.at, data: told.data });
      return true;
    });
    const room = FEED_MAX - this.events.length;
    const kept = room > 0 ? earlier.slice(-room) : [];
    // Keys fall below those of the feed, so that they stay in order.
    const first = (this.events[0]?.key ?? 1) - kept.length;
    this.events = [...kept.map((event, i) => ({ ...event, key: first + i })), ...this.events];
    return kept.length;
  }

  /** More happens than a page can show: it says so and goes on with what is new. */
  #skip() {
    this.#lastId = null;
    this.#marks = [];
    this.#pending.push({ key: ++this.#key, type: 'skipped', at: clock.read(), data: {} });
    this.connect();
  }

  #flush() {
    if (!this.#pending.length) return;
    const batch = this.#pending;
    this.#pending = [];
    this.#count += batch.length;
    const caughtUp = !this.#resumedAt || clock.read() - this.#resumedAt > BEHIND_MAX_MS;
    if (this.status === 'live' && caughtUp && batch.length > BEHIND_BATCH && batch.at(-1)!.at < clock.read() - BEHIND_MAX_MS) this.#skip();
    this.events = [...this.events, ...batch].slice(-FEED_MAX);
    // A reload of the page starts where the feed starts now, so that feed and charts come back.
    const oldest = this.events[0]?.key ?? 0;
    while (this.#marks.length > 1 && this.#marks[0]!.key < oldest) this.#marks.shift();
    if (this.#marks[0]) sessionStorage.setItem(sessionKey, this.#marks[0].id);
    for (const listener of this.#listeners) listener(batch);
  }

  #lost(abort: AbortController) {
    if (abort !== this.#abort) return;
    this.#abort = null;
    if (session.wanted) return;
    if (!this.lostAt) this.lostAt = clock.read();
    this.status = 'lost';
    this.retryAt = clock.read() + this.#pause;
    this.#retry = setTimeout(() => this.connect(), this.#pause);
    this.#pause = Math.min(this.#pause * 1.7, RETRY_MAX_MS);
  }
}

export const stream = new Stream();

/** One event as it came; one without a type is a position alone. */
interface Told {
  id: string | null;
  type: string;
  at: number;
  data: EventData;
}

/** Reads server-sent events until the stream ends, is aborted, stays silent for too long, or `take` answers false. */
async function eachEvent(body: ReadableStream<Uint8Array>, abort: AbortController, silence: number, take: (told: Told) => boolean | void) {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let rest = '';
  try {
    for (;;) {
      timer = setTimeout(() => abort.abort(), silence);
      const { value, done } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      const blocks = (rest + value.replaceAll('\r', '')).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const told = parse(block);
        if (told && take(told) === false) return abort.abort();
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

function parse(block: string): Told | null {
  let id: string | null = null;
  let type = 'message';
  const lines: string[] = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon === 0 || line === '') continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'id') id = value;
    else if (field === 'event') type = value;
    else if (field === 'data') lines.push(value);
  }
  if (!lines.length) return id ? { id, type: '', at: 0, data: {} } : null;
  try {
    const data = JSON.parse(lines.join('\n')) as EventData;
    return { id, type, at: data.at ? Date.parse(data.at) : clock.read(), data };
  } catch {
    return null;
  }
}

/** Reads the log from its beginning, up to now or until `take` answers false, on a connection of its own. */
export async function replay(filter: { endpoint?: string; types?: string }, take: (told: Told) => boolean | void) {
  const abort = new AbortController();
  const url = new URL('events', apiBase);
  url.searchParams.set('after', 'start');
  for (const [name, value] of Object.entries(filter)) if (value) url.searchParams.set(name, value);
  const headers: Record<string, string> = { accept: 'text/event-stream' };
  if (session.token) headers['authorization'] = `Bearer ${session.token}`;
  const began = clock.read();
  let count = 0;
  try {
    const response = await fetch(url, { headers, signal: abort.signal, cache: 'no-store' });
    if (!response.ok || !response.body) return;
    await eachEvent(response.body, abort, REPLAY_IDLE_MS, (told) => {
      if (told.type === '') return;
      if (told.at > began || ++count > REPLAY_MAX) return false;
      return take(told);
    });
  } catch {
    // Aborted when nothing more came; or the connection is gone, which the banner tells.
  }
}
