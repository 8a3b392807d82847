package ethereum

import (
	"errors"
	"strings"

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
	TooFew            ErrorKind = "too-few"            // fewer endpoints answer than have to agree
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

	huge bool // the answer was longer than is read: less may be asked for
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

// answered reports whether the endpoint did its part: another one would say the same.
func (e *RPCError) answered() bool {
	switch e.Kind {
	case Down, WrongChain, Disagree, Missing:
		return false
	}
	return true
}

// public is the error that callers get: what is wrong, and what to do about it.
func (e *RPCError) public() error {
	switch e.Kind {
	case NonceTooLow:
		return caos.Wrap(caos.Conflict, e, "a transaction with this nonce is mined already")
	case AlreadyKnown:
		return caos.Wrap(caos.Conflict, e, "the network has this transaction already")
	case Underpriced:
		return caos.Wrap(caos.Unavailable, e, "the network does not take the transaction at this price (%s)", e.Text).
			WithHint("it is offered again at a higher one; raise chain.max_fee_gwei if the caps leave no room")
	case InsufficientFunds:
		return caos.Wrap(caos.Unavailable, e, "the account cannot pay for the transaction (%s)", e.Text).
			WithHint("send funds to the account; what waits goes on by itself")
	case GasTooLow:
		return caos.Wrap(caos.Invalid, e, "the gas limit does not carry the call (%s)", e.Text).WithField("gas_limit").WithHint("raise gas_limit")
	case Reverted:
		return caos.Wrap(caos.Conflict, e, "the contract refuses the call: %s", (*ABI)(nil).Revert(e.Data).Text)
	case ExceedsCap:
		if strings.Contains(letters(e.Text), "gaslimit") {
			return caos.Wrap(caos.Invalid, e, "the gas limit is more than the network allows (%s)", e.Text).WithField("gas_limit").WithHint("lower gas_limit")
		}
		return caos.Wrap(caos.Unavailable, e, "the fees are beyond a cap (%s)", e.Text).
			WithHint("wait for lower fees, or raise chain.max_fee_gwei and chain.max_tip_gwei or the node's own cap")
	case WrongChain:
		return caos.Wrap(caos.Unavailable, e, "an endpoint is on another chain: %s", e.Text).
			WithHint("correct chain.endpoints or chain.chain_id in the configuration")
	case Disagree:
		return caos.Wrap(caos.Unavailable, e, "what the endpoints of the chain say cannot be true: %s", e.Text).
			WithRule("chain-disagreement").WithHint("find out which one is wrong and take it out of chain.endpoints; until then nothing is confirmed")
	case TooFew:
		return caos.Wrap(caos.Unavailable, e, "%s: nothing is confirmed", e.Text).WithRule("chain-agree").
			WithHint("see to the others, or lower chain.agree; what waits goes on by itself")
	case Missing:
		return caos.Wrap(caos.NotFound, e, "the chain does not have it: %s", e.Text)
	case BadRequest:
		return caos.Wrap(caos.Invalid, e, "the chain refuses the request: %s", e.Text)
	}
	return caos.Wrap(caos.Unavailable, e, "no endpoint of the chain answers: %s", e.Text).
		WithHint("check chain.endpoints; what waits for the chain goes on by itself")
}

// wording joins what nodes write to what it means. Texts are compared as letters and digits
// alone, in lower case, because one node writes AlreadyKnown and the next "already known".
// The first that fits counts, so the narrower comes first.
func wording() []struct {
	kind  ErrorKind
	words []string
} {
	return []struct {
		kind  ErrorKind
		words []string
	}{
		{AlreadyKnown, []string{
			"alreadyknown", "knowntransaction", "existingtxwithsamehash", "alreadyimported", "alreadyinmempool", "duplicatehash",
		}},
		{Underpriced, []string{
			"underpriced", "replacementnotallowed", "couldnotreplaceexisting", "feetoolow", "feetoolowtocompete", "gaspricebelow", "gaspricetoolow",
			"maxfeepergaslessthanblockbasefee", "belowcurrentbasefee", "minerpremiumisnegative", "gaspriceisbelow",
		}},
		{NonceTooLow, []string{"noncetoolow", "oldnonce", "nonceistoolow", "ownnoncealreadyused"}},
		{ExceedsCap, []string{
			"exceedstheconfiguredcap", "feecapexceeded", "exceedsblockgaslimit", "gaslimitexceeded", "blockgaslimitexceeded", "gaslimitistoobig",
			"gaslimitreached", "gaslimittoohigh", "feecapveryhigh",
		}},
		{GasTooLow, []string{
			"intrinsicgas", "gasrequiredexceeds", "outofgas", "gaslimitisbelow", "floordatagas", "gastoolow", "gasislow",
		}},
		{InsufficientFunds, []string{
			"insufficientfunds", "upfrontcostexceeds", "insufficientsenderbalance", "insufficientbalance", "insufficientmaxfeepergasforsenderbalance",
		}},
		{WrongChain, []string{"wrongchain", "invalidchainid", "chainidnotsupported", "chainidmismatch"}},
		{Down, []string{
			"ispoolfull", "isfull", "syncing", "syncisstill", "notsynced", "missingtrienode", "headernotfound", "unknownblock", "blocknotfound",
			"worldstateunavailable", "limitexceeded", "toomanyrequests", "ratelimit", "timeout", "timedout", "methodnotfound", "notavailable",
			"notenabled", "notsupported", "doesnotexist", "noncetoohigh", "noncegap", "noncetoofar", "distantfromcurrent", "lowernonce", "outofcapacity",
			"unauthorized", "internalerror", "indexingisinprogress", "statehistory", "historicalstate", "accountlimit", "spammer",
		}},
	}
}

// halted are the EVM's own ways to stop a call without a revert's data.
func halted() []string {
	return []string{
		"invalidopcode", "stackunderflow", "stackoverflow", "stacklimitreached", "invalidjump", "writeprotection", "returndataoutofbounds",
		"maxcalldepth", "badinstruction", "badjumpdestination", "couldnotbecompletedduetoanexception",
	}
}

// classify puts a node's refusal into the vocabulary. What a contract said is looked for
// first, and only where contracts speak: its words are an attacker's to choose.
func classify(method string, code int, text string, data []byte) ErrorKind {
	if method == "eth_getLogs" { // refused for its length by a rule of the node's own, in words of its own
		return BadRequest
	}
	plain := letters(text)
	if method == "eth_call" || method == "eth_estimateGas" {
		switch {
		case code == 3, strings.HasPrefix(plain, "executionreverted"), strings.HasPrefix(plain, "vmexecutionerror"),
			strings.HasPrefix(plain, "revert"), strings.HasPrefix(plain, "transactionexecutionfails"), len(data) >= 4:
			return Reverted
		}
		for _, w := range halted() {
			if strings.Contains(plain, w) {
				return Reverted
			}
		}
	}
	for _, group := range wording() {
		for _, w := range group.words {
			if strings.Contains(plain, w) {
				return group.kind
			}
		}
	}
	switch code {
	case -32700, -32600, -32602: // the question cannot be read
		return BadRequest
	case -32601, -32603, -32604, -32002, -32005, -32008, 429:
		return Down
	}
	if method == "eth_sendRawTransaction" {
		return BadRequest
	}
	return Down
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, s)
}
