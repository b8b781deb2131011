// This script says why the last try failed.
import { setText } from './dom.js';

const query = new URLSearchParams(location.search);
const why = document.getElementById('why');
if (query.has('wrong')) setText(why, 'That is not the token.');
if (query.has('slow')) setText(why, `Too many wrong tokens. Try again in ${Number(query.get('slow')) || 1} s.`);
why.hidden = why.textContent === '';
