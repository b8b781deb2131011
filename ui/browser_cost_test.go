package ui

import "testing"

// hostileNames gives the list 10,000 names of 512 bytes each that are not UTF-8. It returns how long the page is busy
// with them, in milliseconds: until they are stored, and until the list is drawn.
const hostileNames = `(async () => {
	const { store } = await import('/static/store.js');
	const { nameOf } = await import('/static/text.js');
	const ids = Array.from({ length: 10_000 }, (_, i) => '%FF'.repeat(507) + String(i).padStart(5, '0'));
	const now = Date.now();
	let begun = performance.now();
	for (const id of ids.slice(0, 1000)) nameOf(id);
	const decode = performance.now() - begun;
	begun = performance.now();
	for (let i = 0; i < ids.length; i += 170) {
		store.take({ set: ids.slice(i, i + 170).map((id) => ({ id, held: 1, fence: 1, since: now, deadline: now + 30_000, mode: 'exclusive', owner: { client: 'app' } })) });
	}
	const take = performance.now() - begun;
	document.querySelector('th[data-key=mode] button').click();
	begun = performance.now();
	document.querySelector('th[data-key=name] button').click();
	const draw = performance.now() - begun;
	window.cost = { decode, take, draw };
})()`

func TestBrowserIsNotFrozenByHostileNames(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.acquire("there")
	p.goTo("/")
	p.says(".list a", "there")
	value[bool](p, hostileNames+`, true`)
	p.until(`window.cost`)
	type cost struct{ Decode, Take, Draw float64 }
	got := value[cost](p, `window.cost`)
	t.Logf("1,000 names: %.0f ms; 10,000 taken in: %.0f ms; sorted by name and drawn: %.0f ms", got.Decode, got.Take, got.Draw)
	if got.Decode > 3000 || got.Take > 10_000 || got.Draw > 5000 {
		t.Errorf("the page is frozen: %+v", got)
	}
}

// sameNames compares the names that the page decodes, and their order, with the browser's own decoder and collator.
const sameNames = `(async () => {
	const { nameOf, canonical } = await import('/static/text.js');
	const { select } = await import('/static/store.js');
	const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
	const loose = (bytes) => {
		for (let size = Math.min(4, bytes.length); size > 0; size--) {
			try {
				return strict.decode(bytes.subarray(0, size)) + loose(bytes.subarray(size));
			} catch {}
		}
		return bytes.length ? String.fromCharCode(0xdc00 + bytes[0]) + loose(bytes.subarray(1)) : '';
	};
	const edges = [0x00, 0x25, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbb, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff];
	let state = 1;
	const random = (n) => (state = (state * 48271) % 2147483647) % n;
	for (let i = 0; i < 20_000; i++) {
		const bytes = Uint8Array.from({ length: 1 + random(6) }, () => edges[random(edges.length)]);
		const id = [...bytes].map((byte) => '%' + byte.toString(16).padStart(2, '0')).join('');
		if (nameOf(id) !== loose(bytes)) return id;
	}
	for (const [id, name] of [['a%zz%4', 'a%zz%4'], ['%41%e6%97%A5', 'A日'], ['日%41', '日A'], ['%EF%BB%BFa', '\ufeffa']]) if (nameOf(id) !== name) return id;
	if (nameOf('%F0%9F%94%92'.repeat(100_000)).length !== 200_000 || canonical('日/') !== '%E6%97%A5%2F') return 'long';
	const collator = new Intl.Collator('en', { numeric: true });
	const letters = ['a', 'A', 'á', 'a\u0301', '\u0301', '9', '10', '1', '/', '-', ' ', 'b', 'e', '\udcff', '\udc80', '🔒', '🔓', '日'];
	const names = Array.from({ length: 1500 }, (_, i) => [random(2) ? 'a/1' : '\udcff\udcff', ...Array.from({ length: random(5) }, () => letters[random(letters.length)]), '#' + i].join(''));
	const locks = new Map(names.map((name, i) => [name, { id: String(i), name, kind: 'plain', text: '', held: 1 }]));
	const got = select(locks, { query: '', wantedStates: new Set(['held']), wantedKinds: new Set(['plain']), column: 'name', order: 'ascending' }).locks.map(({ name }) => name);
	const want = names.toSorted((a, b) => collator.compare(a, b));
	return got.findIndex((name, i) => collator.compare(name, want[i]) !== 0);
})().then((wrong) => { window.wrong = String(wrong); }, (error) => { window.wrong = String(error); })`

func TestBrowserReadsAndSortsNamesAsTheBrowserItself(t *testing.T) {
	t.Parallel()
	p := opens(t, nil)
	p.goTo("/")
	value[bool](p, sameNames+`, true`)
	p.until(`window.wrong`)
	if wrong := value[string](p, `window.wrong`); wrong != "-1" {
		t.Errorf("wrong: %s", wrong)
	}
}
