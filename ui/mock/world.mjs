// The made world behind the mock API: five Clients of different kinds whose values move, one of which sleeps.
import { definitions } from './definitions.mjs';

export const definition = (id) => definitions.find((d) => d.id === id);
const iso = (ms) => new Date(ms).toISOString();
const base32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
export const fresh = (n) => Array.from({ length: n }, () => base32[Math.floor(Math.random() * 32)]).join('');

/** Events, oldest first, each `{position, type, data, live}`. */
export const log = [];
const listeners = new Set();
let position = 1000;
export const KEPT_MAX = 4000;

export function tell(type, data, live = false) {
  const event = { position: live ? null : `c${++position}.0`, number: position, type, data: { at: iso(Date.now()), ...data } };
  if (!live) {
    log.push(event);
    if (log.length > KEPT_MAX) log.shift();
  }
  for (const listener of listeners) listener(event);
}
export const listen = (listener) => (listeners.add(listener), () => listeners.delete(listener));

const device = (manufacturer, model, serialNumber, more = {}) => ({
  0: manufacturer, 1: model, 2: serialNumber, 3: '2.4.1',
  6: { 0: 1, 1: 5 }, 7: { 0: 3790, 1: 5010 }, 9: 88, 10: 15420, 11: { 0: 0 },
  13: () => Math.floor(Date.now() / 1000), 14: '+01:00', 15: 'Europe/Berlin', 16: 'UQ', ...more,
});
const server = (lifetime, binding) => ({ 0: 123, 1: lifetime, 2: 0, 3: 60, 6: true, 7: binding });

export const clients = [
  {
    endpoint: 'weather-roof', address: '127.0.0.1:41832', security: 'nosec', identity: null, lifetime_s: 300, binding: 'U', version: '1.0',
    tree: {
      1: { 0: server(300, 'U') },
      3: { 0: device('Fieldworks', 'WX-2', 'FW-0010492') },
      6: { 0: { 0: 54.3233, 1: 10.1228, 2: 18, 5: 1795500000 } },
      3303: { 0: { 5700: 11.4, 5601: 8.2, 5602: 13.9, 5603: -40, 5604: 85, 5701: 'Cel' }, 1: { 5700: 21.8, 5601: 19, 5602: 24.1, 5701: 'Cel' } },
      3304: { 0: { 5700: 71.5, 5601: 55, 5602: 88, 5701: '%RH' } },
    },
    observed: ['3303/0/5700', '3304/0/5700'],
  },
  {
    over_budget: 4812,
    endpoint: 'lamp-corridor', address: '[::1]:50213', security: 'psk', identity: 'lamp-corridor', lifetime_s: 86400, binding: 'U', version: '1.1',
    deviations: [
      { code: 'lifetime_missing', sentence: 'The Register carried no lifetime; 86400 s was taken (TS 1.0, 5.3.1).' },
      { code: 'parameter_unknown', sentence: 'The Register carried "hw=3", which the standard does not know.' },
    ],
    attributes: { hw: '3' },
    tree: {
      1: { 0: server(86400, 'U') },
      3: { 0: device('Lumen & Söhne', 'LC-40', '771-223-04', { 6: { 0: 6 }, 7: { 0: 230000 }, 9: undefined }) },
      3311: { 0: { 5850: true, 5851: 60, 5706: '#ffd9a0', 5852: 5321, 5805: 18.25 }, 1: { 5850: false, 5851: 0, 5852: 0, 5805: 3.5 } },
      10250: { 0: { 0: 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 2: '3311:0', 3: { 0: 'ground floor', 1: 'west' } } },
    },
    observed: ['3311/0/5850'],
  },
  {
    endpoint: 'meter-0412', address: '127.0.0.7:5683', security: 'psk', identity: 'meter-0412', lifetime_s: 600, binding: 'UQ', queue: true, version: '1.0', sms_number: '+4915550104120',
    tree: {
      1: { 0: server(600, 'UQ') },
      3: { 0: device('Hydrometria', 'H2O-6', '0412', { 6: { 0: 1 }, 7: { 0: 3612 }, 8: { 0: 2 }, 9: 61 }) },
      4: { 0: { 0: 6, 1: { 0: 6 }, 2: -103, 3: 11, 4: { 0: '10.20.30.44' }, 8: 24117 } },
      3303: { 0: { 5700: 7.9, 5601: 3.5, 5602: 15.2, 5701: 'Cel' } },
    },
    observed: ['3303/0/5700'], awake_s: 14, asleep_s: 26,
  },
  {
    endpoint: 'urn:imei:490154203237518', address: '198.51.100.23:61616', security: 'rpk', identity: 'sha-256:9f2c…41aa', lifetime_s: 3600, binding: 'U', version: '1.0', overdue: true,
    tree: { 1: { 0: server(3600, 'U') }, 3: { 0: device('Meridian', 'T-Box 3', '490154203237518') }, 5: { 0: { 1: '', 3: 0, 5: 0 } } },
    observed: [],
  },
  {
    endpoint: 'haus 7/heizung', address: '[2001:db8::4711]:5683', security: 'x509', identity: 'CN=haus 7/heizung', lifetime_s: 3600, binding: 'U', version: '1.0', root: '/lwm2m',
    tree: {
      1: { 0: server(3600, 'U') },
      3: { 0: device('Nordwärme', 'NW 200', 'NW-88121') },
      5: { 0: { 1: '', 3: 0, 5: 1 } },
      3303: { 0: { 5700: 58.2, 5601: 41, 5602: 63.4, 5701: 'Cel' }, 1: { 5700: 44.1, 5601: 30.2, 5602: 47.7, 5701: 'Cel' } },
    },
    observed: [],
  },
];

const start = Date.now();
for (const c of clients) {
  c.registration_id = fresh(26);
  c.registered_at = start - 3.2e6;
  c.updated_at = c.overdue ? start - 2.1e6 : start - 40e3;
  c.presence = c.overdue ? 'overdue' : 'awake';
  c.links = {};
  c.requests = [];
  c.lastValues = {};
  c.lastAt = c.updated_at;
}

export function view(c) {
  const objects = {};
  for (const [id, instances] of Object.entries(c.tree)) objects[id] = { version: definition(+id)?.version ?? '1.0', instances: Object.keys(instances).map(Number) };
  const expires = c.updated_at + c.lifetime_s * 1000;
  return {
    endpoint: c.endpoint, registration_id: c.registration_id, registered_at: iso(c.registered_at), updated_at: iso(c.updated_at), expires_at: iso(expires),
    last_contact_at: iso(Math.max(c.updated_at, c.lastAt)), lifetime_s: c.lifetime_s, version: c.version, binding: c.binding, queue: !!c.queue,
    sms_number: c.sms_number ?? null, address: c.address, bearer: 'udp', security: c.security, identity: c.identity, root: c.root ?? '/', objects, presence: c.presence,
    ...(c.presence === 'asleep' ? { next_contact_at: iso(c.turn) } : {}), over_budget: c.over_budget ? { since: iso(c.registered_at), last_at: iso(c.lastAt), dropped: c.over_budget } : null, deviations: c.deviations ?? [], attributes: c.attributes ?? {},
  };
}

const unwrap = (v) => (typeof v === 'function' ? v() : v);
export function resourceNode(object, id, raw) {
  const d = definition(object)?.resources.find((x) => x.id === id);
  const value = unwrap(raw);
  const node = { kind: 'resource', id, name: d?.name, type: d?.type ?? 'string' };
  if (d?.unit) node.unit = d.unit;
  if (value !== null && typeof value === 'object') node.values = value;
  else node.value = value;
  return node;
}
export function readNode(c, [o, i, r]) {
  const instances = c.tree[o];
  if (!instances) return null;
  const instanceNode = (id) => ({
    kind: 'instance', id,
    resources: Object.entries(instances[id])
      .filter(([rid, v]) => unwrap(v) !== undefined && definition(o)?.resources.find((x) => x.id === +rid)?.operations.includes('R'))
      .map(([rid, v]) => resourceNode(o, +rid, v)),
  });
  if (i === undefined) return { kind: 'object', id: o, name: definition(o)?.name, instances: Object.keys(instances).map((x) => instanceNode(+x)) };
  if (!instances[i]) return null;
  if (r === undefined) return instanceNode(i);
  if (instances[i][r] === undefined) return null;
  return resourceNode(o, r, instances[i][r]);
}

export function notify(c, path) {
  const [o, i, r] = path.split('/').map(Number);
  const node = readNode(c, [o, i, r]);
  if (!node) return;
  c.lastAt = Date.now();
  c.lastValues[path] = { at: iso(Date.now()), node };
  c.notifications = { ...c.notifications, [path]: (c.notifications?.[path] ?? 0) + 1 };
  tell('notified', { endpoint: c.endpoint, path: `/${path}`, measured_at: iso(Date.now()), node });
}

/** One turn of the world: values drift, Clients refresh, the sleeper wakes and sleeps. */
let turns = 0;
function turn(settle) {
  turns++;
  const now = Date.now();
  for (const c of clients) {
    if (c.presence === 'overdue') continue;
    if (c.queue) {
      c.turn ??= now + c.awake_s * 1000;
      if (now >= c.turn) {
        c.presence = c.presence === 'awake' ? 'asleep' : 'awake';
        c.turn = now + (c.presence === 'awake' ? c.awake_s : c.asleep_s) * 1000;
        if (c.presence === 'awake') c.updated_at = now;
        tell(c.presence, { endpoint: c.endpoint }, true);
        if (c.presence === 'awake') settle(c);
      }
      if (c.presence === 'asleep') continue;
    }
    if (now - c.updated_at > c.lifetime_s * 450) c.updated_at = now;
    for (const [o, unit] of [[3303, 0.25], [3304, 0.8]])
      for (const values of Object.values(c.tree[o] ?? {})) {
        const drift = Math.sin(turns / 9 + o) * unit + (Math.random() - 0.5) * unit;
        values[5700] = Math.round((values[5700] + drift * 0.6) * 100) / 100;
        values[5601] = Math.min(values[5601], values[5700]);
        values[5602] = Math.max(values[5602], values[5700]);
      }
    for (const path of c.observed) {
      const r = +path.split('/')[2];
      if (r === 5700 ? turns % (c.queue ? 3 : 2) === 0 : turns % 40 === 0) notify(c, path);
    }
  }
  if (turns % 45 === 3) tell('refused', { endpoint: 'stranger-9', address: '203.0.113.9:4711', reason: 'The DTLS handshake at coaps failed for a raw public key: it is not known here.', remedy: 'dunlin credential add stranger-9 --rpk sha256:0d1c2b3a4958677685948372615f4e3d2c1b0a99887766554433221100ffeedd' });
  if (turns % 60 === 10) {
    const c = clients[4];
    tell('updated', { endpoint: c.endpoint, registration_id: c.registration_id, changes: { lifetime_s: c.lifetime_s } });
  }
}
export function run(settle, every) {
  for (const c of clients) {
    const { registration_id, lifetime_s, version, binding, address, security, objects } = view(c);
    tell('registered', { endpoint: c.endpoint, registration_id, replaced: null, lifetime_s, version, binding, address, security, objects });
  }
  return setInterval(turn, every, settle);
}
