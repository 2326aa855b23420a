// What is known of each Client's resources, from whichever side it came, and its history as far as we saw it.
import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import { rooted } from './paths';
import { replay, stream, type FeedEvent } from './stream.svelte';
import type { Node, ResourceNode } from './types';

export type How = 'read' | 'notified' | 'cached' | 'written';
export interface Known {
  node: ResourceNode;
  at: number;
  how: How;
}

/** One line in a chart: seconds and values, in the order of time. */
export class Series {
  seconds: number[] = [];
  values: number[] = [];
  length = $state(0);
  /** Counts additions; charts follow it. */
  turn = $state(0);

  add(at: number, value: number) {
    const s = at / 1000;
    // Mostly the newest; what the log tells of the past after a reload finds its place before it.
    let place = this.seconds.length;
    while (place > 0 && this.seconds[place - 1]! > s) place--;
    if (this.seconds[place - 1] === s) return;
    this.seconds.splice(place, 0, s);
    this.values.splice(place, 0, value);
    if (this.seconds.length > SERIES_MAX) {
      this.seconds.shift();
      this.values.shift();
    }
    this.length = this.seconds.length;
    this.turn++;
  }
}

/** Points a chart keeps: more than it has pixels says nothing more. */
const SERIES_MAX = 1500;
/** Sensor Units, and the resources of the same reusable set that are given in them. */
const SENSOR_UNITS = 5701;
const measuredIds = new Set([5700, 5601, 5602, 5603, 5604]);
/** Clients whose values are kept; beyond that the one opened longest ago is dropped. */
const CLIENTS_MAX = 16;

class ClientValues {
  known = new SvelteMap<string, Known>();
  /** Resources that an instance has, for instances read whole. */
  present = new SvelteMap<string, Set<number>>();
  series = new SvelteMap<string, Series>();
  /** Series to which the log has added what it keeps. */
  whole = new SvelteSet<string>();

  take(path: string, node: Node, at: number, how: How) {
    path = rooted(path);
    if (node.kind === 'object') {
      for (const instance of node.instances) this.take(`${path}/${instance.id}`, instance, at, how);
    } else if (node.kind === 'instance') {
      if (how === 'read') this.present.set(path, new Set(node.resources.map((r) => r.id)));
      for (const resource of node.resources) this.take(`${path}/${resource.id}`, resource, at, how);
    } else {
      if (typeof node.value === 'number' && node.type !== 'time' && (how === 'read' || how === 'notified')) this.#plot(path, at, node.value);
      const before = this.known.get(path);
      if (before && before.at > at) return;
      this.known.set(path, { node: { name: before?.node.name, unit: before?.node.unit, ...node }, at, how });
      const set = this.present.get(path.slice(0, path.lastIndexOf('/')));
      set?.add(node.id);
    }
  }

  #plot(path: string, at: number, value: number) {
    let series = this.series.get(path);
    if (!series) this.series.set(path, (series = new Series()));
    series.add(at, value);
  }

  /** Asks the server's log for the notifications before those we saw. */
  async loadEarlier(endpoint: string, path: string) {
    this.whole.add(path);
    await replay({ endpoint, types: 'notified' }, ({ data, at }) => {
      const from = data.path && rooted(data.path);
      if (data.node && from && (path === from || path.startsWith(from + '/'))) this.take(from, data.node, moment(at, data.measured_at), 'notified');
    });
  }

  /** The unit of a value; sensors whose definition names none say it themselves, in their Sensor Units. */
  unit(path: string, defined: string | null | undefined): string | null {
    if (defined) return defined;
    const [, o, i, r] = path.split('/');
    if (!measuredIds.has(Number(r))) return null;
    const said = this.known.get(`/${o}/${i}/${SENSOR_UNITS}`)?.node.value;
    return typeof said === 'string' && said ? said : null;
  }

  forget(instance: string) {
    for (const path of [...this.known.keys()]) if (path.startsWith(instance + '/')) this.known.delete(path);
    this.present.delete(instance);
  }
}

/** A Client's own clock is believed unless it is plainly wrong: in the future, or never set. */
const CLOCK_AHEAD_MAX_MS = 60000;
const CLOCK_BEHIND_MAX_MS = 400 * 86400000;

function moment(told: number, measured: string | undefined): number {
  const at = measured ? Date.parse(measured) : NaN;
  return at > told - CLOCK_BEHIND_MAX_MS && at < told + CLOCK_AHEAD_MAX_MS ? at : told;
}

class Values {
  #clients = new Map<string, ClientValues>();

  constructor() {
    stream.listen((batch) => {
      for (const event of batch) this.#hear(event);
    });
  }

  /** The values of one Client, beginning with what the feed still remembers. */
  of(endpoint: string): ClientValues {
    const found = this.#clients.get(endpoint);
    if (found) return found;
    const fresh = new ClientValues();
    this.#clients.set(endpoint, fresh);
    if (this.#clients.size > CLIENTS_MAX) this.#clients.delete(this.#clients.keys().next().value!);
    for (const event of stream.events) this.#hear(event, endpoint);
    return fresh;
  }

  #hear({ type, at, data }: FeedEvent, only?: string) {
    if (only !== undefined && data.endpoint !== only) return;
    const client = data.endpoint === undefined ? undefined : this.#clients.get(data.endpoint);
    if (!client) return;
    if (type === 'notified' && data.node && data.path) client.take(data.path, data.node, moment(at, data.measured_at), 'notified');
    for (const reading of data.readings ?? []) client.take(reading.path, reading.node, moment(at, reading.at), 'notified');
    if (type === 'completed' && data.request?.state === 'completed' && data.request.outcome?.node)
      client.take(data.request.path, data.request.outcome.node, at, 'read');
  }
}

export const values = new Values();
