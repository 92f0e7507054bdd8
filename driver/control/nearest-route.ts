/** What a request may have meant that the API does not have. */

export interface Route {
  readonly method: string;
  /** `/devices/:number/backing`. */
  readonly url: string;
}

export interface Nearest {
  /** `GET /devices/:number`; undefined when nothing is like it. */
  readonly near: string | undefined;
  /** What the path itself takes, when it is one of ours. */
  readonly allow: readonly string[];
}

/** Steps of editing, in letters, beyond which two words of a path have nothing to do with each other. */
const MAX_STEPS = 3;

/** Prefers the path, then the method. */
export function nearestRoutes(
  { method, url }: { readonly method: string; readonly url: string },
  known: readonly Route[],
): Nearest {
  const words = wordsOf(url);
  const rated = known
    .filter((route) => route.method !== 'OPTIONS')
    .map((route) => ({ route, steps: distance(words, wordsOf(route.url)) }))
    .filter(({ steps }) => steps <= MAX_STEPS)
    .sort((a, b) => a.steps - b.steps || rank(a.route, method) - rank(b.route, method));
  const exact = rated.filter(({ steps }) => steps === 0).map(({ route }) => route.method);
  const best = rated[0]?.route;
  return {
    near: best === undefined ? undefined : `${best.method} ${best.url.replace(':number', 'N')}`,
    allow: exact.length === 0 ? [] : [...exact, ...(exact.includes('GET') ? ['HEAD'] : []), 'OPTIONS'],
  };
}

const wordsOf = (url: string): string[] =>
  (url.split(/[?#]/)[0] ?? '').split('/').filter((word) => word !== '');

const rank = (route: Route, method: string): number => (route.method === method ? 0 : 1);

/** Word by word; a number is what :number stands for, and a word that lacks or is too much counts as its letters. */
function distance(asked: readonly string[], known: readonly string[]): number {
  let steps = 0;
  for (let at = 0; at < Math.max(asked.length, known.length); at++) {
    const [a = '', b = ''] = [asked[at], known[at]];
    if (b === ':number') steps += /^\d+$/.test(a) ? 0 : /^loop\d+$/.test(a) ? 1 : MAX_STEPS;
    else steps += isBeginning(a, b) ? 1 : letters(a.slice(0, 64), b);
  }
  return steps;
}

/** Of three letters at least: `openapi` of `openapi.json`. */
const isBeginning = (a: string, b: string): boolean => a.length > 2 && a.length < b.length && b.startsWith(a);

/** Levenshtein's distance. */
function letters(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
