package ethereum

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"caos"
	"caos/internal/codec"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// ABI is a contract's interface as it was uploaded and checked. It is never changed after
// it was parsed and safe for concurrent use.
type ABI struct {
	functions map[string]*abiFunction // by signature
	selectors map[[4]byte]*abiFunction
	events    map[common.Hash][]abiEvent // by first topic: two may differ in what is indexed
	errors    map[[4]byte]abiError
}

type abiFunction struct {
	Function
	selector        [4]byte
	inputs, outputs []abiField
}

type abiEvent struct {
	name      string
	signature string
	fields    []abiField
	topics    int // indexed fields
}

type abiError struct {
	name   string
	fields []abiField
}

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

// Event is a decoded log entry.
type Event struct {
	Name      string         `json:"name"`
	Signature string         `json:"signature"`
	Args      map[string]any `json:"args"` // as in Revert; an indexed string, bytes, array or tuple is its hash
}

// Functions lists the functions, ordered by signature.
func (a *ABI) Functions() []Function {
	out := make([]Function, 0, len(a.functions))
	for _, sig := range slices.Sorted(maps.Keys(a.functions)) {
		out = append(out, a.functions[sig].Function)
	}
	return out
}

// Function finds a function by its signature, or by its name when only one has it.
func (a *ABI) Function(name string) (Function, error) {
	f, err := a.function(name)
	if err != nil {
		return Function{}, err
	}
	return f.Function, nil
}

func (a *ABI) function(name string) (*abiFunction, error) {
	const field = "contract_function"
	if f, ok := a.functions[strings.ReplaceAll(name, " ", "")]; ok {
		return f, nil
	}
	var found []*abiFunction
	var all []string
	for _, sig := range slices.Sorted(maps.Keys(a.functions)) {
		if f := a.functions[sig]; f.Name == name {
			found = append(found, f)
		}
		all = append(all, sig)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		err := caos.Errorf(caos.Invalid, "the contract has no function %q", clip(name, 80)).WithField(field)
		if len(all) > 0 && len(all) <= 40 {
			err = err.WithHint("it has %s", strings.Join(all, ", "))
		}
		return nil, err
	}
	sigs := make([]string, 0, len(found))
	for _, f := range found {
		sigs = append(sigs, f.Signature)
	}
	return nil, caos.Errorf(caos.Invalid, "the contract has %d functions %q", len(found), clip(name, 80)).WithField(field).
		WithHint("give one by its signature: %s", strings.Join(sigs, " or "))
}

// Pack checks parameters given by name against a function's and returns the call's data,
// and the parameters as canonical JSON in which every number is a decimal string. Errors
// name function_parameters.<path>.
//
// Numbers are JSON integers up to 2^53, or strings of decimal or 0x-hexadecimal digits;
// addresses and byte strings are 0x and hexadecimal digits, an address in mixed case with
// its EIP-55 check sum; tuples are objects. Values of Go's own integers, *big.Int,
// common.Address, common.Hash and []byte are taken as well.
func (a *ABI) Pack(function string, params map[string]any) (data []byte, canonical json.RawMessage, err error) {
	f, err := a.function(function)
	if err != nil {
		return nil, nil, err
	}
	p := packer{left: maxData - 4}
	data, shown, err := p.named(f.inputs, params, "function_parameters")
	if err != nil {
		return nil, nil, err
	}
	canonical, err = codec.Canonical(shown)
	if err != nil {
		return nil, nil, err
	}
	return append(slices.Clone(f.selector[:]), data...), canonical, nil
}

// Unpack decodes what a function returned, by output name.
func (a *ABI) Unpack(function string, returned []byte) (map[string]any, error) {
	f, err := a.function(function)
	if err != nil {
		return nil, err
	}
	args, err := unpackNamed(f.outputs, returned)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "what %s returned does not fit the ABI", f.Signature).
			WithHint("check that the contract at this address is the one of the ABI")
	}
	return args, nil
}

// Decode tells which function a call's data calls, with which parameters.
func (a *ABI) Decode(data []byte) (Function, map[string]any, error) {
	if len(data) < 4 {
		return Function{}, nil, caos.Errorf(caos.Invalid, "a call has 4 bytes at least, these are %d", len(data))
	}
	f, ok := a.selectors[[4]byte(data)]
	if !ok {
		return Function{}, nil, caos.Errorf(caos.NotFound, "the ABI has no function with the selector %s", hexutil.Encode(data[:4]))
	}
	args, err := unpackNamed(f.inputs, data[4:])
	if err != nil {
		return Function{}, nil, caos.Wrap(caos.Invalid, err, "the call's data does not fit %s", f.Signature)
	}
	return f.Function, args, nil
}

// Event decodes a log entry of the contract. An entry of an event that the ABI does not
// have is an error of kind caos.NotFound.
func (a *ABI) Event(log *types.Log) (Event, error) {
	if log == nil || len(log.Topics) == 0 {
		return Event{}, caos.Errorf(caos.NotFound, "the log entry is of no named event")
	}
	for _, e := range a.events[log.Topics[0]] {
		if e.topics != len(log.Topics)-1 {
			continue
		}
		args, err := e.decode(log)
		if err != nil {
			return Event{}, caos.Wrap(caos.Invalid, err, "the log entry does not fit %s", e.signature)
		}
		return Event{Name: e.name, Signature: e.signature, Args: args}, nil
	}
	return Event{}, caos.Errorf(caos.NotFound, "the ABI has no event with the topic %s and %d indexed values", log.Topics[0], len(log.Topics)-1)
}

func (e *abiEvent) decode(log *types.Log) (map[string]any, error) {
	var plain []abiField
	args := make(map[string]any, len(e.fields))
	next := 1
	for _, f := range e.fields {
		if !f.indexed {
			plain = append(plain, f)
			continue
		}
		topic := log.Topics[next]
		next++
		if f.typ.dynamic || f.typ.kind >= kindArray { // only its hash is there
			args[f.name] = topic.Hex()
			continue
		}
		v, err := unpackNamed([]abiField{f}, topic[:])
		if err != nil {
			return nil, err
		}
		args[f.name] = v[f.name]
	}
	rest, err := unpackNamed(plain, log.Data)
	if err != nil {
		return nil, err
	}
	maps.Copy(args, rest)
	return args, nil
}

func isJSONObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}
