package ethereum

import (
	"errors"

	"caos"
)

// ErrorKind says what an endpoint's refusal means, whatever words its software uses.
type ErrorKind string

// The kinds of error. Those that pass by themselves are caos.Unavailable.
const (
	NonceTooLow       ErrorKind = "nonce-too-low"      // a transaction with this nonce is mined
	AlreadyKnown      ErrorKind = "already-known"      // the network has this very transaction
	Underpriced       ErrorKind = "underpriced"        // fees too low to be taken, or to replace another
	InsufficientFunds ErrorKind = "insufficient-funds" // the account cannot pay value and gas
	GasTooLow         ErrorKind = "gas-too-low"        // the gas limit does not carry the call
	Reverted          ErrorKind = "reverted"           // the contract refused; Data has its words
	ExceedsCap        ErrorKind = "exceeds-cap"        // fees or gas beyond what configuration, node or block allows
	Down              ErrorKind = "unavailable"        // no endpoint answered sensibly
	WrongChain        ErrorKind = "wrong-chain"        // an endpoint on another network
	Disagree          ErrorKind = "disagreement"       // endpoints contradict each other, or themselves
	Missing           ErrorKind = "not-found"          // no such block, transaction or receipt (yet)
	BadRequest        ErrorKind = "invalid"            // the endpoint finds the question wrong
)

// RPCError is what an endpoint answered, put into one vocabulary. It lies in the chain of a
// *caos.Error: find it with errors.As, or ask Is.
type RPCError struct {
	Kind      ErrorKind
	Method    string   // such as eth_call
	Endpoint  string   // redacted URL
	Code      int      // JSON-RPC error code, 0 when there was none
	Text      string   // the node's own words, clipped
	Data      []byte   // of a revert: selector and arguments; else empty
	Endpoints []string // of a disagreement: what each endpoint says, in words
}

// Error returns the kind and the node's words.
func (e *RPCError) Error() string { return string(e.Kind) + ": " + e.Text }

// Is reports whether an RPCError of a kind lies in err's chain.
func Is(err error, kind ErrorKind) bool {
	var e *RPCError
	return errors.As(err, &e) && e.Kind == kind
}

// RevertData returns the data of the revert in err's chain, nil if there is none.
func RevertData(err error) []byte {
	var e *RPCError
	if errors.As(err, &e) && e.Kind == Reverted {
		return e.Data
	}
	return nil
}

func errSoon() error { return caos.Errorf(caos.Unavailable, "not built yet") }
