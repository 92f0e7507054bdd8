import { render } from 'preact';
import { takeToken } from './api.js';
import { App } from './app.js';
import './style.css';
import { store } from './store.js';

takeToken();
store.start();
addEventListener('hashchange', () => {
  if (takeToken()) store.start();
});
const root = document.getElementById('app');
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
