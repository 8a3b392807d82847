// Package auth knows who is there and what they may do: accounts of people and services,
// roles, API tokens, second factors and personal keys, and the one choke point at which
// everything is authorised.
//
// # Twice
//
// Every action is decided twice. At the route, [Auth.Allow] decides on what the request
// shows, before any work is done. Inside the transaction that acts, [Auth.Authorize]
// decides again on facts loaded there: the account as it is now, its roles, its token. A
// role or a token that was taken away in between no longer helps.
//
// For Allow, a Resource without an ID stands for the kind of thing as a whole (a list, a
// route) and is decided in the caller's favour: as if the item were their own and in their project.
// The items must then be decided one by one, or filtered with [Auth.Visible].
//
// # Caches
//
// Accounts and tokens are cached. Every change of them raises a number (the epoch) in the
// same transaction. A node trusts its cache for half a second before it asks for the
// epoch again, and not at all after a change of its own; a transaction always asks. So a
// revocation counts at once where it was made, within a second on other nodes, and always
// inside a transaction.
//
// # Second factor
//
// A sensitive action needs a TOTP code in the same request. The code's 30-second step is
// stored, in a committed transaction, before the request goes on, and only a later step
// counts afterwards: one code serves one request, on whichever node. Attempts are counted
// before they are checked, so that guessing in parallel gains nothing.
//
// # What is recorded
//
// Every change is a record in the same transaction. Refusals of authenticated principals
// are recorded ([Auth.RecordRefusal]), the first of its kind in a minute at once and
// repetitions as a count. Failed authentications are counted per source and recorded once
// a minute. Records name people by their opaque ids alone.
package auth
