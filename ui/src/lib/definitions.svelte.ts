// Object definitions: names for the tree at once, the resources of an object when it is looked at.
import { SvelteMap } from 'svelte/reactivity';
import { objectDefinition, objectList } from './api';
import type { ObjectDefinition, ResourceDefinition } from './types';

class Definitions {
  /** Object names by id, of whichever version came first. */
  names = new SvelteMap<number, string>();
  /** Whole definitions by `id/version`; null where the server has none. */
  #whole = new SvelteMap<string, ObjectDefinition | null>();
  #asked = new Set<string>();
  #version = new Map<number, string>();

  async load() {
    try {
      const { data } = await objectList();
      for (const d of data.objects) {
        if (!this.names.has(d.id)) this.names.set(d.id, d.name);
        this.#version.set(d.id, d.version);
      }
    } catch {
      // Without names the tree still shows numbers; the banner tells of the lost server.
    }
  }

  /** The definition, or undefined while it is on its way, or null when there is none. */
  of(id: number, version: string): ObjectDefinition | null | undefined {
    return this.#whole.get(`${id}/${version}`);
  }

  async want(id: number, version: string) {
    const key = `${id}/${version}`;
    if (this.#whole.has(key) || this.#asked.has(key)) return;
    this.#asked.add(key);
    try {
      this.#whole.set(key, (await objectDefinition(id, version)).data);
      this.names.set(id, this.names.get(id) ?? this.#whole.get(key)!.name);
    } catch (thrown) {
      if ((thrown as { status?: number }).status === 404) this.#whole.set(key, null);
      else this.#asked.delete(key);
    }
  }

  resource(object: number, resource: number): ResourceDefinition | undefined {
    for (const [key, definition] of this.#whole) {
      if (definition && key.startsWith(`${object}/`)) {
        const found = definition.resources.find((r) => r.id === resource);
        if (found) return found;
      }
    }
    // Whoever asks is being drawn: the definition comes after that, and draws it again.
    const version = this.#version.get(object);
    if (version !== undefined) queueMicrotask(() => void this.want(object, version));
    return undefined;
  }

  /** `Temperature › Sensor Value` for a path, as far as it is known. */
  label(path: string, resourceName?: string): string {
    const [o, , r] = path.split('/').filter(Boolean).map(Number);
    const object = o === undefined ? '' : (this.names.get(o) ?? `Object ${o}`);
    if (r === undefined) return object;
    return `${object} › ${resourceName ?? this.resource(o!, r)?.name ?? `Resource ${r}`}`;
  }
}

export const definitions = new Definitions();
