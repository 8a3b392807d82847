// Package db is the only door to the database. It opens SQLite or PostgreSQL, migrates it,
// and turns many small audited writes into few transactions.
//
// [DB.Update] is a group commit: waiting functions run one after another in one
// transaction, each under a savepoint of its own, and one fsync serves all of them. Nobody
// is told anything, yes or no, before COMMIT has returned, because even a "no" may rest on
// what a neighbour in the same transaction wrote. [DB.Write] is the same without the seal
// of the audit log. [DB.Query] and [DB.QueryRow] read what is committed.
//
// Functions get a guarded [Tx] and no context. A context that ends while a statement runs
// would destroy the transaction that they share with others (SQLite even goes on in
// autocommit mode), so the caller's context only takes it out of the queue.
//
// One SQL text serves both databases: placeholders are $1…$n in ascending order, times are
// integers in microseconds since 1970 UTC, JSON is TEXT, and results come by RETURNING.
package db
