// Package caos is the vocabulary of the control plane: identifiers, actors, times and
// error kinds. Everything else is built on these words and nothing here knows about
// anything else, so the package imports the standard library alone.
//
// Words, in the sense every package uses them:
//
//   - A hook is one of the fourteen operations of the specification 95-00-09-00-007,
//     named by an id such as CAOS.PROD.CERT.AUDIT.
//   - An action is one numbered line of a hook in the specification.
//   - A step is a piece of code that does (part of) an action; see package engine.
//   - An execution is one run of a hook, with an id that starts with "EXEC-".
//   - A record is what the audit log keeps; a leaf is the part of it that is public.
//   - A principal is who authenticated; an actor is who is said to have acted.
package caos
