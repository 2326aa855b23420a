// The operations a person starts, and what became of the last one at each path: busy, done, waiting or refused.
import { SvelteMap } from 'svelte/reactivity';
import { Problem, type Answer } from './api';
import { clock } from './clock.svelte';
import { requests } from './requests.svelte';

export interface Action {
  operation: string;
  busy: boolean;
  problem: Problem | null;
  /** What to say of its good end, such as `Written`. */
  done: string;
  coap: string;
  /** The request that waits in the Client's queue. */
  requestId: string;
  at: number;
}

class Actions {
  #last = new SvelteMap<string, Action>();

  of(endpoint: string, path: string): Action | undefined {
    return this.#last.get(`${endpoint}\n${path}`);
  }

  dismiss(endpoint: string, path: string) {
    this.#last.delete(`${endpoint}\n${path}`);
  }

  /** Runs one operation. Returns its answer when the Client gave one; else the row shows why not. */
  async run<T>(endpoint: string, path: string, operation: string, done: string, ask: () => Promise<Answer<T>>): Promise<Answer<T> | null> {
    const key = `${endpoint}\n${path}`;
    const set = (change: Partial<Action>) =>
      this.#last.set(key, { operation, busy: false, problem: null, done: '', coap: '', requestId: '', at: clock.read(), ...change });
    set({ busy: true });
    try {
      const answer = await ask();
      if (answer.request) {
        requests.take({ ...answer.request, endpoint, path: answer.request.path ?? path, operation: answer.request.operation ?? operation });
        set({ requestId: answer.request.id });
        return null;
      }
      set({ done, coap: answer.coap });
      return answer;
    } catch (thrown) {
      set({ problem: Problem.from(thrown) });
      return null;
    }
  }
}

export const actions = new Actions();
