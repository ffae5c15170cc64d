import type { Client } from 'openapi-fetch';

import { problemOf, toApiError } from './errors';
import type { paths } from './generated/schema';

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

interface Init {
  params?: {
    path?: Record<string, string>;
    query?: Record<string, unknown>;
    header?: Record<string, string>;
  };
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function send(method: string, template: string, init: Init = {}): Promise<Answer<unknown>> {
  const { path = {}, query = {}, header = {} } = init.params ?? {};
  const address = template.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(path[name] ?? ''),
  );
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const search = new URLSearchParams(wanted.map(([name, value]) => [name, String(value)]));
  const response = await fetch(search.size === 0 ? address : `${address}?${search.toString()}`, {
    method,
    headers: {
      accept: 'application/json',
      ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...header,
    },
    ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
    ...(init.signal === undefined ? {} : { signal: init.signal }),
    credentials: 'same-origin',
  });
  const text = await response.text();
  const content: unknown = text === '' ? {} : parsed(text);
  return response.ok ? { data: content, response } : { error: content, response };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * The API as its document describes it; same origin, with the session's cookie.
 *
 * The types are openapi-fetch's; of its behaviour we need these few lines, and the first page
 * has to stay small.
 */
export const api = {
  GET: (path: string, init?: Init) => send('GET', path, init),
  POST: (path: string, init?: Init) => send('POST', path, init),
} as unknown as Pick<Client<paths>, 'GET' | 'POST'>;

/**
 * The data of an answer.
 *
 * @throws ApiError when there is none.
 */
export async function ask<T>(answer: Promise<Answer<T>>): Promise<NonNullable<T>> {
  const { data, error, response } = await answer.catch((thrown: unknown) => {
    throw thrown instanceof DOMException ? thrown : toApiError(thrown);
  });
  if (!response.ok || data === undefined || data === null) throw problemOf(error, response);
  return data;
}

/** The same, of an address that can answer as text, too. */
export async function askJson<T>(
  answer: Promise<Answer<T>>,
): Promise<Exclude<NonNullable<T>, string>> {
  const data = await ask(answer);
  if (typeof data === 'string') throw toApiError(new TypeError('the answer is not JSON'));
  // Narrowing by `typeof` does not reach into a type parameter.
  return data as Exclude<NonNullable<T>, string>;
}
