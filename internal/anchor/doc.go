// Package anchor gives checkpoints of the audit log to others, so that whoever could rewrite
// the log and its published checkpoints would still be found out: a contract on a chain, an
// object under a retention lock, files elsewhere, time-stamp servers (RFC 3161) and witnesses
// (C2SP tlog-witness).
//
// Each destination is looked after by itself: one that fails is asked again after growing
// pauses and hinders no other. What it was given, and what it answered, is an anchor: a row
// with all that a verifier needs, and an audit record. The records of anchors are no reason
// for another anchor. A destination that holds what this log cannot have led to says that one
// of the two was rewritten: an alert, and nothing more is given to it until somebody has looked.
package anchor
