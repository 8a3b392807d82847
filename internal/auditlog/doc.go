// Package auditlog is the transparency log: what it appends is durable, in order, and
// provable to somebody who trusts nobody here.
//
// A record says what happened. Its leaf, which is public, holds id, time, type and a
// salted commitment to the record's bytes; the leaf's RFC 6962 hash is the record's hash.
// Leaves are hashed into a tree that is stored as tiles of 256 hashes (C2SP tlog-tiles).
// [Log.Append] works inside a function given to db.Update; the log is the database's
// sealer, so that leaves, tiles and head are written by the transaction that did the
// thing, and nothing is ever recorded without having happened or the other way round.
//
// Signed checkpoints leave the database through a [Sink]. A log that is shorter than its
// last published checkpoint, or another, starts in recovery mode, in which it takes only
// what break-glass needs; [Log.Recover] then opens a successor, a new generation of the
// log whose first leaf states what was lost.
//
// [Verify] checks a whole log from its database alone, without a server.
package auditlog
