// Package engine runs hooks as durable executions: it remembers after every commit what
// has been done, so that a process may die at any moment and another goes on from there.
// It knows no hook and no model.
//
// # Steps
//
// A hook is a Plan: an ordered list of steps over a saved state. Each numbered action of
// the specification is one or more steps. The kind of a step says what a crash may repeat:
//
//   - InTx: an effect in our own database only. Effect, saved state, step record and audit
//     record commit together, so it happens exactly once.
//   - Call: an effect elsewhere. Its intent commits first, with an audit record, so that
//     nothing happens outside that the log did not announce; then the effect, at least
//     once, with a key that never changes; then its result.
//   - Wait: a person, a time or a child execution. It holds no worker and no connection.
//   - Each and Repeat compose them.
//
// One commit carries the result of a Call, all InTx steps after it and the intent of the
// next Call: a plan of four InTx steps and three Calls takes four commits.
//
// # States of an execution
//
//	          ┌────────────────────────── retry ───────────────────────────┐
//	          ▼                                                            │
//	QUEUED → RUNNING ⇄ WAITING (a Wait step)                               │
//	          │  └──→ BLOCKED (revision unknown to this binary) → RUNNING   │
//	          ├──→ SUCCEEDED                                               │
//	          ├──→ FAILED (gate, error, attempts or time used up) ─────────┘
//	          └──→ CANCELLED
//
// # Failures
//
// An error of a step is retried or ends the execution, as its kind and the hook's policy
// say; what the steps before it did in the same commit is kept. A defect is charged to the
// step, too: a panic, a step that takes longer than the database allows (more than twice in
// a row), an output that its schema refuses. Where not even that can be recorded, as with a
// state that cannot be read, the execution ends FAILED as it stands, its last output kept
// and nothing compensated. Only the database and the log are waited for, without end; the
// result of a Call is kept meanwhile. While Options.Halted says so nothing is begun.
//
// # Ownership
//
// The executions row is the truth, the queue only wakes workers. Every commit is a
// compare-and-swap on executions.version, so a worker that slept through a takeover can
// never write. Each logical commit has an audit record id minted before it; when the
// database did not say whether it committed, finding that id in the row settles it.
package engine
