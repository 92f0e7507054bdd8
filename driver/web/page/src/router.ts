/** Views by the address's fragment, so that going back and bookmarks work. */

import { useEffect, useState } from 'preact/hooks';

export type Route =
  | { readonly view: 'overview' | 'overlays' | 'remotes' | 'locks' | 'connections' | 'daemon' | 'events' }
  | { readonly view: 'device'; readonly number: number };

export function routeOf(hash: string): Route {
  const device = /^#\/devices\/(\d{1,7})$/.exec(hash)?.[1];
  if (device !== undefined) return { view: 'device', number: Number(device) };
  const [, view] = /^#\/(overlays|remotes|locks|connections|daemon|events)$/.exec(hash) ?? [];
  return { view: (view ?? 'overview') as 'overview' };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(routeOf(location.hash));
  useEffect(() => {
    const onChange = (): void => setRoute(routeOf(location.hash));
    addEventListener('hashchange', onChange);
    return () => removeEventListener('hashchange', onChange);
  }, []);
  return route;
}
