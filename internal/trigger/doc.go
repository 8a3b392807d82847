// Package trigger makes hooks run without a person asking for it: when an event happens
// (EVENT), at a time (CRON), or when another system says so (WEBHOOK). A trigger is a row
// that people with the right to it write, with a second factor; it names a hook, a template
// of the hook's input and the service account that the hook is submitted as. Whoever
// enabled it answers for it: when that person may no longer write triggers, it stops with
// an alert.
//
// # Firing
//
// That a trigger fires is a row of its own, written by the transaction that finds the cause:
// the one that moves the event subscriber's cursor, or the schedule, or takes the delivery
// in. The row holds everything that the submission needs. A worker then submits it through
// the hook service, authorised and validated like any other request, under the key
// trigger/<name>/<occurrence>, and writes down what came of it. So an event is never lost
// and never makes two executions, wherever the process dies and whatever is changed in
// between; a refusal is an alert and holds up nobody else.
//
// Schedules are kept here and not by the engine, whose own schedules submit straight to the
// engine: past the hook's schema, its gates and the policies.
//
// # Loops
//
// A trigger cannot listen to the end of its own hook. A chain (an execution that a trigger
// started, whose end fires another trigger, and so on) has at most [MaxDepth] links; a
// trigger that fires more often than [Options.MaxPerMinute] is stopped.
//
// # Shipped triggers
//
// None yet. A trigger ships when both its ends exist: CERT.EVIDENCE waits for hooks that
// make reports, CERT.AUDIT is called by whatever it records. The first rows come with the
// hooks that start them.
package trigger
