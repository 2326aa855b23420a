// What is typed into a value editor, and the value it stands for. An editor never sends what it cannot read.
import { bytesOf, fromHex, toBase64, toHex } from './format';
import type { ResourceType, Scalar } from './types';

export type Draft = { ok: true; value: Scalar } | { ok: false; error: string };

const good = (value: Scalar): Draft => ({ ok: true, value });
const bad = (error: string): Draft => ({ ok: false, error });

/** Integers beyond this travel as strings (the API's rule), so that no digit is lost. */
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

export function parseInteger(text: string, unsigned: boolean): Draft {
  const clean = text.trim().replace(/^\u2212/, '-');
  if (!/^[+-]?\d+$/.test(clean)) return bad('A whole number, such as 42');
  const value = BigInt(clean);
  const [low, high] = unsigned ? [0n, 2n ** 64n - 1n] : [-(2n ** 63n), 2n ** 63n - 1n];
  if (value < low || value > high) return bad(`Between ${low} and ${high}`);
  return good(unsigned || value > SAFE || value < -SAFE ? value.toString() : Number(value));
}

export function parseFloatText(text: string): Draft {
  const clean = text.trim().replace(/^\u2212/, '-');
  if (['NaN', 'Infinity', '-Infinity'].includes(clean)) return good(clean);
  const value = Number(clean);
  if (clean === '' || Number.isNaN(value)) return bad('A number, such as 21.5');
  return good(value);
}

export type Spelling = 'hex' | 'base64' | 'text';

export function parseOpaque(text: string, spelling: Spelling): Draft {
  if (spelling === 'text') return good(toBase64(new TextEncoder().encode(text)));
  if (spelling === 'hex') {
    const bytes = fromHex(text);
    return bytes ? good(toBase64(bytes)) : bad('Pairs of hexadecimal digits, such as 0a ff');
  }
  const clean = text.replace(/\s/g, '');
  try {
    return good(toBase64(Uint8Array.from(atob(clean), (c) => c.charCodeAt(0))));
  } catch {
    return bad('Base64, such as SGVsbG8=');
  }
}

export function spellOpaque(base64: string, spelling: Spelling): string {
  const bytes = bytesOf(base64);
  if (spelling === 'hex') return toHex(bytes).replace(/(..)(?=.)/g, '$1 ');
  return spelling === 'text' ? new TextDecoder().decode(bytes) : base64;
}

export function parseLink(object: string, instance: string): Draft {
  const part = (text: string) => (/^\d+$/.test(text.trim()) && Number(text) <= 65535 ? Number(text) : null);
  const [o, i] = [part(object), part(instance)];
  return o === null || i === null ? bad('Two numbers up to 65535; 65535 and 65535 is no link') : good(`${o}:${i}`);
}

export function parseTime(local: string): Draft {
  const ms = Date.parse(local);
  return Number.isNaN(ms) ? bad('A date and a time') : good(Math.round(ms / 1000));
}

/** For `<input type="datetime-local">`, which speaks local time without a zone. */
export function localTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return '';
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

/** Held against the definition's range where it is plain; the Client has the last word. */
export function outOfRange(value: Scalar, range: string | null, type: ResourceType): string {
  const match = range?.match(/^\s*(-?[\d.]+?)\s*(?:\.\.|-|–|…)\s*(-?[\d.]+)\s*$/);
  if (!match) return '';
  const size = type === 'string' ? new TextEncoder().encode(String(value)).length : typeof value === 'number' ? value : null;
  if (size === null || !['string', 'integer', 'float', 'unsigned'].includes(type)) return '';
  const [low, high] = [Number(match[1]), Number(match[2])];
  if (size >= low && size <= high) return '';
  return type === 'string' ? `The definition allows ${low} to ${high} bytes` : `The definition allows ${low} to ${high}`;
}

/** A first value for a resource that has none yet. */
export function blank(type: ResourceType): Scalar {
  switch (type) {
    case 'boolean':
      return false;
    case 'time':
      return Math.floor(Date.now() / 1000);
    default:
      return '';
  }
}
