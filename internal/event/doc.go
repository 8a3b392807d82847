// Package event tells other parts of CAOS what happened. An event is a CloudEvents 1.0
// event, written as a row by the transaction that makes it true ([Outbox.Emit]), so that
// there is no event without its cause and no cause without its event.
//
// A durable subscriber ([Outbox.Subscribe]) gets the events of a pattern after their
// commit, in order, at least once, also those that were emitted while nobody ran. Its
// cursor is a row. On many nodes one of them delivers, by a lease that runs by the
// database server's clock; when it dies another goes on. A failed delivery is tried again
// with growing pauses, and the events behind it wait; an event that a subscriber can never
// take is parked, reported to [Options.OnPark], and left behind.
//
// Who only shows what goes on, such as a stream to a browser, uses [Outbox.Watch] for the
// moment and [Outbox.Since] for the content.
package event
