/** The control API below /api, with the token. */

const TOKEN_KEY = 'nbdloop.token';

/** A refusal of the daemon's: its sentence is what is shown. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly errno: string,
    message: string,
  ) {
    super(message);
  }
}

/** What the address brought along is kept for this tab, and taken out of sight. */
export function takeToken(): boolean {
  const [, token] = /^#token=([\w-]+)$/.exec(location.hash) ?? [];
  if (token === undefined) return false;
  sessionStorage.setItem(TOKEN_KEY, token);
  history.replaceState(null, '', '#/');
  return true;
}

export function setToken(text: string): void {
  // A whole address will do.
  sessionStorage.setItem(TOKEN_KEY, text.trim().replace(/^.*#token=/, ''));
}

export const authorization = (): Record<string, string> => {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token === null ? {} : { authorization: `Bearer ${token}` };
};

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Rejects with a Refusal; with EPIPE where the daemon cannot be reached. */
export async function call<T>(method: Method, path: string, body?: object): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers: { ...authorization(), ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refusal(0, 'EPIPE', 'The daemon cannot be reached; whether this was done is not known.');
  }
  const text = await response.text();
  if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T;
  throw refusalOf(response.status, text);
}

export function refusalOf(status: number, text: string): Refusal {
  try {
    const { errno, message } = JSON.parse(text) as { errno: string; message: string };
    return new Refusal(status, errno, message);
  } catch {
    return new Refusal(status, 'EPROTO', `The daemon answered with the HTTP status ${status}.`);
  }
}

export const get = <T>(path: string): Promise<T> => call<T>('GET', path);
