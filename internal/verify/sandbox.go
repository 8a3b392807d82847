package verify

import "strings"

// isSandbox reports whether a log says of itself that it is for trying things out.
func isSandbox(origin string) bool { return strings.Contains(strings.ToUpper(origin), "SANDBOX") }

// writeSandbox begins the report about something from a log for trials: whoever reads one
// line reads that. Anything may verify there, and nothing of it speaks for a product.
func writeSandbox(b *strings.Builder, p painter, origin string) {
	if isSandbox(origin) {
		b.WriteString(p.red("SANDBOX: made in a trial installation.") + "\n" + p.red("Whatever is verified below proves nothing about a product.") + "\n\n")
	}
}
