import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

// The built page runs only what it came with: no inline script, no other host. (The dev server needs both.)
const policy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      attrs: {
        'http-equiv': 'Content-Security-Policy',
        content:
          "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'",
      },
      injectTo: 'head-prepend',
    },
  ],
};

// One script, one style sheet, stable names: the built files are committed and embedded by dunlin-api.
export default defineConfig({
  base: './',
  plugins: [svelte(), policy],
  build: {
    outDir: '../crates/dunlin-api/assets',
    emptyOutDir: true,
    assetsDir: '',
    modulePreload: false,
    cssCodeSplit: false,
    target: ['chrome123', 'firefox120', 'safari17.5'],
    reportCompressedSize: true,
    rolldownOptions: {
      output: {
        entryFileNames: 'dunlin.js',
        codeSplitting: false,
        assetFileNames: (asset) => (asset.names[0]?.endsWith('.css') ? 'dunlin.css' : '[name][extname]'),
      },
    },
  },
  server: {
    host: '127.0.0.1',
    proxy: { '/api': process.env.DUNLIN_API ?? 'http://127.0.0.1:8090' },
  },
});
