/** Where the build puts the page: beside this module's folder, and beside that of the bundles. */
export const PAGE_DIRECTORY = new URL('../page/', import.meta.url);
