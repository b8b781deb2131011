// Package safetext is the library's own rule for what may be shown of texts that others wrote.
package safetext

import "example.com/redislock/internal/safetext"

// Hidden reports whether a character must not be shown as it is.
func Hidden(r rune) bool { return safetext.Hidden(r) }

// Clear reports whether a text can be shown as it is.
func Clear(text string) bool { return safetext.Clear(text) }

// Text is a text as it is if it is [Clear], or else in quotes with escapes.
func Text(text string) string { return safetext.Text(text) }

// Escape is a text with escapes for what cannot be shown, and nothing else changed.
func Escape(text string) string { return safetext.Escape(text) }
