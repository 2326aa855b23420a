// Where we are: `#/clients`, `#/clients/NAME[/3/0]`, `#/requests`, `#/security?for=NAME`, `#/events?client=NAME&types=a,b`.
import { decodeEndpoint, encodeEndpoint, split } from './paths';

export type Route =
  | { page: 'clients' }
  | { page: 'client'; endpoint: string; path: number[] }
  | { page: 'requests' }
  | { page: 'security'; endpoint: string }
  | { page: 'events'; client: string; types: string[] }
  | { page: 'unknown'; hash: string };

function read(hash: string): Route {
  const [before = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  const parts = before.split('/').filter((p) => p !== '');
  const [page, ...rest] = parts;
  try {
    if (page === undefined || (page === 'clients' && rest.length === 0)) return { page: 'clients' };
    if (page === 'clients') return { page: 'client', endpoint: decodeEndpoint(rest[0]!), path: rest.slice(1).map(Number).filter(Number.isInteger) };
    if (page === 'requests') return { page: 'requests' };
    if (page === 'security') return { page: 'security', endpoint: new URLSearchParams(query).get('for') ?? '' };
    if (page === 'events') {
      const params = new URLSearchParams(query);
      return { page: 'events', client: params.get('client') ?? '', types: (params.get('types') ?? '').split(',').filter(Boolean) };
    }
  } catch {
    // A name that does not decode is no place at all.
  }
  return { page: 'unknown', hash };
}

class Router {
  route = $state<Route>(read(location.hash));

  constructor() {
    addEventListener('hashchange', () => (this.route = read(location.hash)));
  }

  /** Changes the address without a new entry in the history: for filters, not for pages. */
  replace(hash: string) {
    history.replaceState(null, '', hash);
    this.route = read(hash);
  }
}

export const router = new Router();

export const toClient = (endpoint: string, path = '') => ['#/clients', encodeEndpoint(endpoint), ...split(path)].join('/');

export const toSecurity = (endpoint = '') => '#/security' + (endpoint ? '?' + new URLSearchParams({ for: endpoint }) : '');

export function toEvents(client: string, types: string[] = []): string {
  const params = new URLSearchParams();
  if (client) params.set('client', client);
  if (types.length) params.set('types', types.join(','));
  const query = params.toString();
  return '#/events' + (query ? '?' + query : '');
}
