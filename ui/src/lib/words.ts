// Events told in words: a verb for the label, a sentence for the line.
import { definitions } from './definitions.svelte';
import { duration, operationText, plural, requestText, securityText, sentence, unitText, valueText } from './format';
import type { FeedEvent } from './stream.svelte';
import type { Client, EventData, Node, Request } from './types';

export type Tone = 'good' | 'calm' | 'value' | 'warn' | 'bad';

const tones: Record<string, Tone> = {
  registered: 'good',
  updated: 'calm',
  deregistered: 'calm',
  expired: 'warn',
  awake: 'good',
  asleep: 'calm',
  notified: 'value',
  sent: 'value',
  completed: 'good',
  bootstrapped: 'good',
  bootstrap_failed: 'bad',
  refused: 'bad',
  gap: 'warn',
};
const labels: Record<string, string> = { sent: 'send', bootstrap_failed: 'bootstrap failed' };

export const typeLabel = (type: string) => labels[type] ?? type.replaceAll('_', ' ');

export function tone({ type, data }: FeedEvent): Tone {
  const state = data.request?.state;
  if (type === 'completed' && state && state !== 'completed') return state === 'cancelled' ? 'calm' : 'bad';
  return tones[type] ?? 'calm';
}

const text = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');

export interface Line {
  /** Before the value: what it is about. */
  lead: string;
  /** The value itself, set apart. */
  value: string;
  path: string;
}

export function line(event: FeedEvent): Line {
  const { type, data } = event;
  const plainLine = (lead: string): Line => ({ lead, value: '', path: '' });
  const client = (data['client'] ?? data) as Partial<Client>;
  switch (type) {
    case 'registered':
      return plainLine('registered' + details(client));
    case 'updated':
      return plainLine(updated(data, client));
    case 'deregistered':
      return plainLine('de-registered' + because(data));
    case 'expired':
      return plainLine('let its registration expire: no Update came within the lifetime');
    case 'awake':
      return plainLine('is awake');
    case 'asleep':
      return plainLine('sleeps' + until(event));
    case 'notified':
      return reading('', data);
    case 'sent':
      return reading('sent ', data);
    case 'completed':
      return completed(data);
    case 'bootstrapped':
      return plainLine('was bootstrapped' + because(data));
    case 'bootstrap_failed':
      return plainLine('could not be bootstrapped' + because(data));
    case 'refused':
      return plainLine('was refused' + because(data));
    case 'gap':
      return plainLine('Events before this one are older than the server keeps; they are gone from the log.');
    default:
      return plainLine(sentence(type) + because(data));
  }
}

function details(client: Partial<Client>): string {
  const parts = [];
  if (client.lifetime_s) parts.push(`for ${duration(client.lifetime_s * 1000)}`);
  if (client.address) parts.push(`from ${client.address}`);
  if (client.security) parts.push(securityText[client.security] ?? client.security);
  if (client.version) parts.push(`LwM2M ${client.version}`);
  if (client.objects) parts.push(plural(Object.keys(client.objects).length, 'object'));
  return parts.length ? ' ' + parts.join(', ') : '';
}

function updated(data: EventData, client: Partial<Client>): string {
  const raw = data['changed'];
  const changed = (Array.isArray(raw) ? raw.map(String) : []).map((c) => c.replaceAll('_', ' '));
  if (!changed.length) return 'changed its registration' + details(client);
  const lifetime = changed.includes('lifetime') && client.lifetime_s ? ` (now ${duration(client.lifetime_s * 1000)})` : '';
  return `changed its ${changed.join(', ')}${lifetime}`;
}

function because(data: EventData): string {
  const reason = text(data['detail']) || text(data['reason']) || text(data['title']) || text(data['code']);
  const from = text(data['address']) ? ` from ${text(data['address'])}` : '';
  return from + (reason ? `: ${reason}` : '');
}

function until({ at, data }: FeedEvent): string {
  const next = text(data['next_contact_at']);
  return next ? `, next contact expected in ${duration(Date.parse(next) - at)}` : '';
}

function reading(lead: string, data: EventData): Line {
  const path = text(data.path);
  if (!data.node) return { lead: lead + definitions.label(path), value: '', path };
  const name = data.node.kind === 'resource' ? data.node.name : undefined;
  return { lead: lead + definitions.label(path, name), value: nodeText(data.node), path };
}

export function nodeText(node: Node): string {
  if (node.kind === 'resource') return valueText(node) + (node.unit && node.value !== undefined ? `\u202f${unitText(node.unit)}` : '');
  if (node.kind === 'instance') return plural(node.resources.length, 'resource');
  return plural(node.instances.length, 'instance');
}

function completed(data: EventData): Line {
  const request = (typeof data.request === 'object' ? data.request : data) as Request;
  const path = text(request.path ?? data.path);
  const what = `${operationText(text(request.operation) || 'request')} ${requestText(request)}`;
  const value = request.state === 'completed' && request.outcome?.node ? nodeText(request.outcome.node) : '';
  return { lead: what, value, path };
}
