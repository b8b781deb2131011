package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

// types are spelled out: what a machine believes about a file name must not decide whether a script runs.
var types = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// staticFiles are the files of the page, each a handler. Browsers keep them and ask whether they are still the same.
func staticFiles() map[string]http.Handler {
	entries, err := static.ReadDir("static")
	if err != nil {
		panic(err) // it is in the binary
	}
	files := map[string]http.Handler{}
	for _, e := range entries {
		body, err := static.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		kind := types[path.Ext(e.Name())]
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(e.Name()))
		}
		isPage := path.Ext(e.Name()) == ".html"
		files[e.Name()] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			if !isPage {
				w.Header().Set("Cache-Control", "no-cache")
				w.Header().Set("ETag", tag)
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		})
	}
	return files
}
