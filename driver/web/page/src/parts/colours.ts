/** Canvases don't know of style sheets: what is drawn takes its colours from there, and anew when the scheme changes. */

import { useEffect, useState } from 'preact/hooks';

export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Changes when the scheme does. */
export function useScheme(): 'dark' | 'light' {
  const query = matchMedia('(prefers-color-scheme: dark)');
  const [isDark, change] = useState(query.matches);
  useEffect(() => {
    const onChange = (): void => change(query.matches);
    query.addEventListener('change', onChange);
    return () => query.removeEventListener('change', onChange);
  }, []);
  return isDark ? 'dark' : 'light';
}
