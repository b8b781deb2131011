// Says why the last try failed.
const query = new URLSearchParams(location.search);
const why = document.getElementById('why');
if (query.has('wrong')) why.textContent = 'That is not the token.';
if (query.has('slow')) why.textContent = `Too many wrong tokens. Try again in ${Number(query.get('slow')) || 1} s.`;
why.hidden = why.textContent === '';
