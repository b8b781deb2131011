package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"

	"example.com/redislock/internal/safetext"
)

//go:embed static
var static embed.FS

// types are written out here, so that the settings of a machine do not decide whether a script runs.
var types = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// staticFiles are the files of the page, each a handler.
func staticFiles() map[string]http.Handler {
	entries, err := static.ReadDir("static")
	if err != nil {
		panic(err) // cannot happen: the files are in the binary
	}
	files := map[string]http.Handler{"hidden.js": staticFile("hidden.js", []byte(hiddenScript()))}
	for _, e := range entries {
		body, err := static.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		files[e.Name()] = staticFile(e.Name(), body)
	}
	return files
}

// staticFile serves a file. Browsers keep it, and ask each time whether it has changed. A page is not kept.
func staticFile(name string, body []byte) http.Handler {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	kind := types[path.Ext(name)]
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(name))
	}
	isPage := path.Ext(name) == ".html"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		if !isPage {
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("ETag", tag)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// hiddenScript is a script with the rule of [safetext.Hidden] as a regular expression, so that the page and the command
// line escape the same characters.
var hiddenScript = sync.OnceValue(func() string {
	var class strings.Builder
	for from := rune(0); from <= unicode.MaxRune; from++ {
		if !safetext.Hidden(from) {
			continue
		}
		to := from
		for to < unicode.MaxRune && safetext.Hidden(to+1) {
			to++
		}
		fmt.Fprintf(&class, `\u{%x}-\u{%x}`, from, to)
		from = to
	}
	return "// What cannot be shown as it is, as package safetext has it.\nexport const hidden = /[" + class.String() + "]/gu;\n"
})
