// Values, times and names in the words a person reads.
import type { Credential, Doors, Request, ResourceNode, ResourceType, Scalar } from './types';

const thin = '\u202f';

/** `3 s`, `4 min`, `2 h 05 min`, `3 d 4 h`: two steps at most. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s}${thin}s`;
  const min = Math.floor(s / 60);
  if (min < 10) return `${min}${thin}min` + (s % 60 ? ` ${String(s % 60).padStart(2, '0')}${thin}s` : '');
  if (min < 60) return `${min}${thin}min`;
  const h = Math.floor(min / 60);
  if (h < 24) return `${h}${thin}h` + (min % 60 ? ` ${String(min % 60).padStart(2, '0')}${thin}min` : '');
  return `${Math.floor(h / 24)}${thin}d` + (h % 24 ? ` ${h % 24}${thin}h` : '');
}

/** `4 s ago`, with `now` for what has just happened. */
export function ago(now: number, at: number): string {
  const ms = now - at;
  return ms < 1500 ? 'now' : `${short(ms)} ago`;
}

/** One step only, for narrow columns: `12 s`, `4 min`, `2 h`, `3 d`. */
export function short(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s}${thin}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${thin}min`;
  if (s < 172800) return `${Math.floor(s / 3600)}${thin}h`;
  return `${Math.floor(s / 86400)}${thin}d`;
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
const timeOnly = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

export const when = (at: string | number | null | undefined) => (at === null || at === undefined || at === '' ? '' : dateTime.format(new Date(at)));
export const timeOfDay = (ms: number) => timeOnly.format(ms);
export const sameDay = (a: number, b: number) => new Date(a).toDateString() === new Date(b).toDateString();

/** The registry's units are SenML's; a few read better the way instruments print them. */
const unitWords: Record<string, string> = { Cel: '°C', '%RH': '% RH', '/100': '%', lat: '°', lon: '°', Ohm: 'Ω', deg: '°', '1/s': '1/s', 'm/s2': 'm/s²', m2: 'm²', m3: 'm³' };
export const unitText = (unit: string | null | undefined) => (unit ? (unitWords[unit] ?? unit) : '');

const plain = new Intl.NumberFormat('en', { maximumSignificantDigits: 7, useGrouping: false });
/** Integers whole, floats to seven digits (what single precision holds). */
export function number(value: number, type?: ResourceType): string {
  if (Number.isInteger(value) || type === 'integer' || type === 'unsigned') return String(value).replace('-', '−');
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return value.toExponential(4).replace('-', '−');
  return plain.format(value).replace('-', '−');
}

export function scalarText(value: Scalar | undefined, type: ResourceType | undefined): string {
  if (value === null || value === undefined) return '';
  if (type === 'time' && typeof value === 'number') return when(value * 1000);
  if (type === 'opaque' && typeof value === 'string') return opaqueText(value);
  if (type === 'objlnk') return linkText(String(value));
  if (typeof value === 'number') return number(value, type);
  return String(value);
}

/** The whole value for tool tips: nothing rounded. */
export function scalarExact(value: Scalar | undefined, type: ResourceType | undefined): string {
  if (value === null || value === undefined) return '';
  if (type === 'time' && typeof value === 'number') return `${value} s since 1970 (${isoOf(value)})`;
  if (type === 'opaque') return `base64: ${value}`;
  return String(value);
}

function isoOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? 'out of range' : date.toISOString();
}

function linkText(value: string): string {
  const [object, instance] = value.split(':');
  return object === '65535' ? 'no link' : `/${object}/${instance}`;
}

export function bytesOf(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
export const toBase64 = (bytes: Uint8Array) => {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
};
export const toHex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
export function fromHex(text: string): Uint8Array | null {
  const clean = text.replace(/[\s:]/g, '');
  if (clean.length % 2 || /[^0-9a-f]/i.test(clean)) return null;
  return Uint8Array.from(clean.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function opaqueText(base64: string): string {
  const bytes = bytesOf(base64);
  if (!bytes.length) return '0 bytes';
  const head = toHex(bytes.subarray(0, 8)).replace(/(..)(?=.)/g, '$1 ');
  return `${bytes.length} byte${bytes.length === 1 ? '' : 's'}  ${head}${bytes.length > 8 ? ' …' : ''}`;
}

/** One line for a resource: its value, or its instances one after the other. */
export function valueText(node: ResourceNode): string {
  if (node.values) {
    const entries = Object.entries(node.values);
    return entries.length ? entries.map(([id, v]) => `${id}: ${scalarText(v, node.type)}`).join('  ·  ') : 'empty';
  }
  return node.value === '' ? '(empty)' : scalarText(node.value, node.type);
}

export const typeText: Record<ResourceType, string> = {
  string: 'string',
  integer: 'integer',
  float: 'float',
  boolean: 'boolean',
  opaque: 'opaque',
  time: 'time',
  objlnk: 'object link',
  unsigned: 'unsigned integer',
  corelnk: 'CoRE link',
  none: 'no value',
};

export const securityText: Record<string, string> = { nosec: 'NoSec', psk: 'PSK', rpk: 'Raw Public Key', x509: 'X.509' };
/** The same for narrow columns. */
export const securityShort: Record<string, string> = { ...securityText, rpk: 'RPK' };

export const doorsText: Record<Doors, string> = { server: 'Server', bootstrap: 'Bootstrap-Server', both: 'Server, Bootstrap-Server' };
/** What the Client shows, in few words: of a fingerprint the beginning is enough to tell two apart. */
export function knownBy(one: Credential): string {
  if (one.fingerprint) return `${one.fingerprint.slice(0, 23)}…${one.subject ? ` (${one.subject})` : ''}`;
  return one.identity ?? (one.identity_hex ? `hex:${one.identity_hex}` : (one.subject ?? ''));
}

const operationWords: Record<string, string> = {
  read: 'Read',
  write: 'Write',
  replace: 'Write',
  update: 'Partial write',
  partial_update: 'Partial write',
  write_update: 'Partial write',
  execute: 'Execute',
  create: 'Create',
  delete: 'Delete',
  discover: 'Discover',
  write_attributes: 'Write-Attributes',
  attributes: 'Write-Attributes',
  observe: 'Observe',
  cancel_observation: 'Cancel observation',
};
export const operationText = (operation: string) => operationWords[operation.toLowerCase().replace(/[- ]/g, '_')] ?? sentence(operation);

export function requestText(request: Request): string {
  const { outcome, state } = request;
  const code = outcome?.coap ? ` (${outcome.coap})` : '';
  switch (state) {
    case 'queued':
      return 'waits until the Client can be reached';
    case 'sent':
      return 'sent, no answer yet';
    case 'completed':
      return `done${code}`;
    case 'failed':
      return `failed${code}: ${outcome?.problem?.detail || outcome?.problem?.title || 'no reason given'}`;
    case 'cancelled':
      return 'cancelled before it was sent';
    case 'expired':
      return 'expired before the Client woke';
    case 'unknown':
      return 'may or may not have been carried out; it is not sent again';
    default:
      return state;
  }
}

export const sentence = (word: string) => (word ? word[0]!.toUpperCase() + word.slice(1).replaceAll('_', ' ') : '');

export const plural = (n: number, one: string, many = one + 's') => `${n.toLocaleString('en').replaceAll(',', thin)} ${n === 1 ? one : many}`;
