/** The module of the thread that copies. */
export const COPIER = new URL('./copier.js', import.meta.url);
