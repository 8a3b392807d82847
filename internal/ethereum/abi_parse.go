package ethereum

import (
	"fmt"
	"strconv"

	"caos"
	"caos/internal/codec"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// ParseABI reads a contract's ABI as solc writes it: a JSON array of at most 256 KiB.
// Unknown types, duplicate functions and what is not an ABI are refused; an error's field
// is the path within the ABI, such as abi[3].inputs[0].type.
func ParseABI(text []byte) (*ABI, error) {
	if len(text) > maxABI {
		return nil, caos.Errorf(caos.TooLarge, "the ABI has more than %d bytes", maxABI).WithField("abi")
	}
	if isJSONObject(text) {
		return nil, caos.Errorf(caos.Invalid, "an ABI is a JSON array").WithField("abi").
			WithHint("of a compiler's output give only the value of its member \"abi\"")
	}
	doc, err := codec.Value(text, "", codec.Limits{MaxBytes: maxABI, MaxDepth: 24, MaxNodes: 60_000})
	if err != nil {
		e := *caos.AsError(err)
		return nil, e.WithField("abi" + e.Field)
	}
	list, ok := doc.([]any)
	if !ok {
		return nil, caos.Errorf(caos.Invalid, "an ABI is a JSON array").WithField("abi")
	}
	if len(list) > maxEntries {
		return nil, caos.Errorf(caos.TooLarge, "the ABI has more than %d entries", maxEntries).WithField("abi")
	}
	a := &ABI{
		functions: map[string]*abiFunction{}, selectors: map[[4]byte]*abiFunction{},
		events: map[common.Hash][]abiEvent{}, errors: map[[4]byte]abiError{},
	}
	for i, v := range list {
		e, err := entryOf(v, fmt.Sprintf("abi[%d]", i))
		if err == nil {
			err = a.add(e)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(a.functions) == 0 && len(a.events) == 0 && len(a.errors) == 0 {
		return nil, caos.Errorf(caos.Invalid, "the ABI has no function, event or error").WithField("abi").
			WithHint("give the ABI as the compiler wrote it")
	}
	return a, nil
}

// entry is an object of the ABI's array, with the path that errors name.
type entry struct {
	path string
	m    map[string]any
}

func entryOf(v any, path string) (entry, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return entry{}, caos.Errorf(caos.Invalid, "an object is expected here").WithField(path)
	}
	return entry{path, m}, nil
}

func (e entry) text(key string) (string, error) {
	v, ok := e.m[key]
	if !ok || v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", caos.Errorf(caos.Invalid, "a string is expected here").WithField(e.path + "." + key)
	}
	return s, nil
}

func (e entry) flag(key string) (bool, error) {
	v, ok := e.m[key]
	if !ok || v == nil {
		return false, nil
	}
	b, ok := v.(bool)
	if !ok {
		return false, caos.Errorf(caos.Invalid, "true or false is expected here").WithField(e.path + "." + key)
	}
	return b, nil
}

// fields reads a list of parameters or components.
func (e entry) fields(key string, depth int) ([]abiField, error) {
	path := e.path + "." + key
	v, ok := e.m[key]
	if !ok || v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, caos.Errorf(caos.Invalid, "a list is expected here").WithField(path)
	}
	if len(list) > maxParams {
		return nil, caos.Errorf(caos.TooLarge, "more than %d parameters", maxParams).WithField(path)
	}
	out := make([]abiField, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, v := range list {
		sub, err := entryOf(v, path+"["+strconv.Itoa(i)+"]")
		if err != nil {
			return nil, err
		}
		f, err := sub.field(i, depth)
		if err != nil {
			return nil, err
		}
		if seen[f.name] {
			return nil, caos.Errorf(caos.Invalid, "two parameters are called %q", f.name).WithField(sub.path + ".name")
		}
		seen[f.name] = true
		out = append(out, f)
	}
	return out, nil
}

func (e entry) field(index, depth int) (abiField, error) {
	name, err := e.text("name")
	if err != nil {
		return abiField{}, err
	}
	if name == "" {
		name = "arg" + strconv.Itoa(index)
	}
	if !identifier(name) {
		return abiField{}, caos.Errorf(caos.Invalid, "%q is not a name", clip(name, 80)).WithField(e.path + ".name")
	}
	text, err := e.text("type")
	if err != nil {
		return abiField{}, err
	}
	indexed, err := e.flag("indexed")
	if err != nil {
		return abiField{}, err
	}
	t, err := typeOf(text, func() ([]abiField, error) { return e.fields("components", depth+1) }, depth)
	if err != nil {
		ce := caos.AsError(err)
		if ce.Field == "" {
			ce = ce.WithField(e.path + ".type")
		}
		return abiField{}, ce
	}
	return abiField{name: name, typ: t, indexed: indexed}, nil
}

func (a *ABI) add(e entry) error {
	what, err := e.text("type")
	if err != nil {
		return err
	}
	switch what {
	case "constructor", "receive", "fallback":
		return nil // nobody calls them here
	case "function", "event", "error":
	case "":
		return caos.Errorf(caos.Invalid, "an entry without a type").WithField(e.path + ".type").
			WithHint("give the ABI as the compiler wrote it")
	default:
		return caos.Errorf(caos.Invalid, "an entry of the unknown type %q", clip(what, 80)).WithField(e.path + ".type")
	}
	name, err := e.text("name")
	if err != nil {
		return err
	}
	if !identifier(name) {
		return caos.Errorf(caos.Invalid, "%q is not a name", clip(name, 80)).WithField(e.path + ".name")
	}
	inputs, err := e.fields("inputs", 0)
	if err != nil {
		return err
	}
	if headWords(inputs) > maxWords {
		return caos.Errorf(caos.TooLarge, "the parameters have more than %d words", maxWords).WithField(e.path + ".inputs")
	}
	sig := signatureOf(name, inputs)
	hash := crypto.Keccak256Hash([]byte(sig))
	switch what {
	case "function":
		return a.addFunction(e, Function{Name: name, Signature: sig}, inputs)
	case "event":
		return a.addEvent(e, abiEvent{name: name, signature: sig, fields: inputs}, hash)
	}
	a.errors[[4]byte(hash[:])] = abiError{name: name, fields: inputs} // libraries may declare one twice
	return nil
}

func (a *ABI) addFunction(e entry, f Function, inputs []abiField) error {
	outputs, err := e.fields("outputs", 0)
	if err != nil {
		return err
	}
	if f.Mutability, err = e.mutability(); err != nil {
		return err
	}
	if _, twice := a.functions[f.Signature]; twice {
		return caos.Errorf(caos.Invalid, "the function %s is there twice", clip(f.Signature, 200)).WithField(e.path)
	}
	selector := [4]byte(crypto.Keccak256([]byte(f.Signature)))
	if other, twice := a.selectors[selector]; twice {
		return caos.Errorf(caos.Invalid, "the functions %s and %s have one selector", clip(other.Signature, 200), clip(f.Signature, 200)).
			WithField(e.path).WithHint("no compiler makes such a contract")
	}
	f.Selector, f.Inputs, f.Outputs = hexutil.Encode(selector[:]), paramsOf(inputs), paramsOf(outputs)
	fn := &abiFunction{Function: f, selector: selector, inputs: inputs, outputs: outputs}
	a.functions[f.Signature], a.selectors[selector] = fn, fn
	return nil
}

// mutability reads stateMutability, or what compilers before 0.5 wrote in its place.
func (e entry) mutability() (string, error) {
	s, err := e.text("stateMutability")
	if err != nil {
		return "", err
	}
	switch s {
	case "pure", "view", "nonpayable", "payable":
		return s, nil
	case "":
		constant, err := e.flag("constant")
		if err != nil {
			return "", err
		}
		payable, err := e.flag("payable")
		if err != nil {
			return "", err
		}
		switch {
		case constant:
			return "view", nil
		case payable:
			return "payable", nil
		}
		return "nonpayable", nil
	}
	return "", caos.Errorf(caos.Invalid, "%q is not a mutability", clip(s, 40)).WithField(e.path + ".stateMutability").
		WithHint("it is pure, view, nonpayable or payable")
}

func (a *ABI) addEvent(e entry, ev abiEvent, topic common.Hash) error {
	anonymous, err := e.flag("anonymous")
	if err != nil {
		return err
	}
	for _, f := range ev.fields {
		if f.indexed {
			ev.topics++
		}
	}
	if anonymous || ev.topics > 3 {
		return nil // nothing in a log entry tells that it is this one
	}
	for _, other := range a.events[topic] {
		if other.topics == ev.topics {
			return nil // a library's, declared twice
		}
	}
	a.events[topic] = append(a.events[topic], ev)
	return nil
}
