package ethereum

import (
	"encoding/json"

	"github.com/ethereum/go-ethereum/core/types"
)

// ABI is a contract's interface as it was uploaded and checked.
type ABI struct{}

// Function is a function of a contract.
type Function struct {
	Name       string  `json:"name"`
	Signature  string  `json:"signature"` // such as "transfer(address,uint256)"
	Selector   string  `json:"selector"`  // 0x and 8 hex digits
	Inputs     []Param `json:"inputs"`
	Outputs    []Param `json:"outputs,omitempty"`
	Mutability string  `json:"mutability"` // pure, view, nonpayable or payable
}

// Param is an argument of a function, an event or an error.
type Param struct {
	Name string `json:"name"` // "arg0" and so on where the ABI has none
	Type string `json:"type"` // canonical, such as "(uint256,bytes32)[]"
}

// Revert is why a contract refused, decoded as far as possible.
type Revert struct {
	Name string         `json:"name"`           // Error, Panic, a custom error's name; "" when unknown
	Args map[string]any `json:"args,omitempty"` // by parameter name, as Pack accepts them
	Text string         `json:"text"`           // one sentence for people, never empty
}

// Event is a decoded log entry.
type Event struct {
	Name      string         `json:"name"`
	Signature string         `json:"signature"`
	Args      map[string]any `json:"args"` // as in Revert; an indexed string, bytes, array or tuple is its hash
}

// ParseABI reads a contract's ABI as solc writes it: a JSON array of at most 256 KiB.
// Unknown types, duplicate functions and what is not an ABI are refused.
func ParseABI(text []byte) (*ABI, error) { return nil, errSoon() }

// Functions lists the functions, ordered by signature.
func (a *ABI) Functions() []Function { return nil }

// Function finds a function by its signature, or by its name when only one has it.
func (a *ABI) Function(name string) (Function, error) { return Function{}, errSoon() }

// Pack checks parameters given by name against a function's and returns the call's data,
// and the parameters as canonical JSON in which every number is a decimal string. Errors
// name function_parameters.<path>.
func (a *ABI) Pack(function string, params map[string]any) (data []byte, canonical json.RawMessage, err error) {
	return nil, nil, errSoon()
}

// Unpack decodes what a function returned, by output name.
func (a *ABI) Unpack(function string, returned []byte) (map[string]any, error) {
	return nil, errSoon()
}

// Decode tells which function a call's data calls, with which parameters.
func (a *ABI) Decode(data []byte) (Function, map[string]any, error) {
	return Function{}, nil, errSoon()
}

// Revert explains the data of a revert. It accepts any bytes. a may be nil.
func (a *ABI) Revert(data []byte) Revert { return Revert{Text: "not built yet"} }

// Event decodes a log entry of the contract. An entry of an event that the ABI does not
// have is an error of kind caos.NotFound.
func (a *ABI) Event(log *types.Log) (Event, error) { return Event{}, errSoon() }
