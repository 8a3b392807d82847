// Package httpapi is CAOS over HTTP: one file per resource, and a frame that all of them
// share. It holds no rules of the domain; it translates between HTTP and the nouns.
//
// A request passes, in this order: the trace (ids, log line, metrics, recovery from a
// panic), the security headers, the refusal of encoded bodies, the multiplexer, the
// guard of its route (who is it, may they: Rule), and then the route itself.
//
// Every route comes into being through [API.route], which takes the Rule that guards it;
// there is no other way to reach the multiplexer, and a test walks all of them. Most
// routes are operations: typed functions whose parameters and answers huma reads, writes
// and describes in the OpenAPI document. Bodies are read by package codec, strictly.
// Routes that stream, or that are called thousands of times a second, are plain handlers
// beside their description.
//
// Every refusal, from wherever it comes, leaves as a problem (RFC 9457) that is made from
// a *caos.Error in one place: problem.go.
//
// Lists are filtered by what the caller may see; a thing that exists but is not for the
// caller is answered like one that does not exist.
package httpapi
