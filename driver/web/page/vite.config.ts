import { defineConfig } from 'vite';

/** One script, one style sheet, no preloading by script: what the page's policy of content allows. */
export default defineConfig({
  base: './',
  clearScreen: false,
  logLevel: 'warn',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    target: 'es2022',
    emptyOutDir: true,
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: false,
  },
});
