// Package chain sends transactions to an Ethereum network so that each is mined once, and
// keeps what became of it: contracts that may be called, transactions, and what of ours was
// recorded by them.
//
// # States
//
//	PREPARED ─▶ SIGNED ─▶ SENT ─▶ MINED ─▶ CONFIRMED
//	   ▲           │        ▲ │      │  └────▶ FAILED
//	   │           └────────┼─┤      │
//	   └── nonce lost ──────┼─┘      │
//	                        └─ reorg ┴─ also from CONFIRMED and FAILED
//
// PREPARED: the row exists and an execution has announced it. It has no nonce and nothing
// of it has left the process, so that it may be given up ([Chain.GiveUp]).
//
// SIGNED: a nonce is taken and the signed bytes are stored, in one commit that is known to
// have happened before the bytes go anywhere. From here on it always goes out, whatever
// becomes of its execution, because a nonce that is never spent holds up every later one.
//
// SENT: an endpoint took the bytes, or says that it has them.
//
// MINED: a receipt lies in a block of the canonical chain.
//
// CONFIRMED, FAILED: the receipt's block has the number of blocks on top that configuration
// asks for, its hash was read anew at that number, and the endpoints agree on it: those that
// answer do not contradict each other, and as many as configuration asks for answer. FAILED
// has three more causes: it was given up while PREPARED; the network refuses it for good,
// and a transaction of ours that does nothing has spent its nonce; its nonce was lost to
// other transactions several times. Both states are watched for 64 blocks more. If the
// block vanishes, which takes as many endpoints to say, the transaction is SENT again, and an
// alert says so.
//
// # Who may move what
//
// Every account that sends has a row with its next nonce, and a lease. Nonces are given by
// the lease's holder alone, in the commit that stores the signed bytes. That commit compares
// the lease's epoch and the next nonce that the signing began with. So two nodes never give
// the same nonce even if one sleeps through the loss of its lease: what it signed meanwhile
// is thrown away before anybody has seen it. A COMMIT that nobody answered is sent again
// with the same bytes; the comparison tells whether it had happened.
//
// A node that no endpoint answers for half a minute gives its leases back, so that a node
// whose endpoints answer goes on. What was signed for an account that configuration does not
// name any more is followed under the same lease, which a node that has the key may take away
// at any time.
//
// The holder's keeper makes every other move as well, comparing the epoch and the state it
// saw. The one exception is SIGNED to SENT, which any node may do: the same bytes sent twice
// are one transaction.
//
// # Never twice
//
// A transaction has one nonce at a time, and the chain takes one transaction a nonce. Other
// fees make other bytes ("attempt") under the same nonce; all attempts stay known, and
// whichever is mined counts. A nonce is given up for another only when the chain has spent
// it by something that is none of our attempts, and has so for as many blocks as make a
// transaction confirmed; when the blocks around have none of our attempts; and when the
// network refuses our last one, sent once more, because of its nonce.
//
// # Nonces without gaps
//
// The next nonce is the stored one, or the chain's when somebody else has used the account,
// which is said in an alert. If a transaction of that somebody, whose nonce we had passed
// over, is dropped by the network, the keeper fills the gap with one that does nothing.
//
// # When others fail
//
// While no endpoint answers nothing moves and nothing is lost: transactions wait in their
// states. While endpoints contradict each other, or too few of them answer, nothing is
// confirmed. An account without funds gets no further nonces. Each has an alert, raised once
// and closed when the trouble is over. What somebody did, or an endpoint said wrongly, is
// for people to close.
package chain
