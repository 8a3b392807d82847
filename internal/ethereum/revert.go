package ethereum

import (
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common/hexutil"
)

// maxWordsShown bounds the sentence made of a revert: its arguments are foreign text.
const maxWordsShown = 400

// Revert is why a contract refused, decoded as far as possible.
type Revert struct {
	Name string         `json:"name"`           // Error, Panic, a custom error's name; "" when unknown
	Args map[string]any `json:"args,omitempty"` // by parameter name, as Pack accepts them
	Text string         `json:"text"`           // one sentence for people, never empty
}

// Revert explains the data of a revert. It accepts any bytes. a may be nil: then only what
// every contract may answer is known.
func (a *ABI) Revert(data []byte) Revert {
	switch {
	case len(data) == 0:
		return Revert{Text: "the contract refused without a reason"}
	case len(data) < 4:
		return Revert{Text: fmt.Sprintf("the contract refused with %d bytes (%s), too few to name an error", len(data), hexutil.Encode(data))}
	}
	selector := [4]byte(data)
	switch selector {
	case [4]byte{0x08, 0xc3, 0x79, 0xa0}: // Error(string)
		return standard("Error", "reason", "string", data[4:])
	case [4]byte{0x4e, 0x48, 0x7b, 0x71}: // Panic(uint256)
		return standard("Panic", "code", "uint256", data[4:])
	}
	if a != nil {
		if e, ok := a.errors[selector]; ok {
			return e.explain(data[4:])
		}
	}
	return Revert{Text: fmt.Sprintf("the contract refused with an error that its ABI does not have: %s and %d bytes", hexutil.Encode(data[:4]), len(data)-4)}
}

// standard decodes the two errors that the compiler itself makes.
func standard(name, param, typ string, data []byte) Revert {
	r := Revert{Name: name}
	t, err := scalarOf(typ)
	if err == nil {
		r.Args, err = unpackNamed([]abiField{{name: param, typ: t}}, data)
	}
	if err != nil {
		r.Args = nil
		r.Text = fmt.Sprintf("the contract refused with %s(%s), and its argument cannot be read: %v", name, typ, err)
		return r
	}
	s, _ := r.Args[param].(string)
	switch {
	case name == "Panic":
		r.Text = "the contract stopped: " + panicWords(s)
	case strings.TrimSpace(s) == "":
		r.Text = "the contract refused with an empty reason"
	default:
		r.Text = clip(s, maxWordsShown)
	}
	return r
}

// panicWords says what Solidity's panic codes mean.
func panicWords(code string) string {
	words, ok := map[string]string{
		"0":  "a panic of the compiler's own",
		"1":  "an assertion does not hold (panic 0x01)",
		"17": "an arithmetic overflow or underflow (panic 0x11)",
		"18": "a division by zero (panic 0x12)",
		"33": "a number that is no value of its enumeration (panic 0x21)",
		"34": "a byte string in storage is broken (panic 0x22)",
		"49": "an element was taken from an empty array (panic 0x31)",
		"50": "an index is out of bounds (panic 0x32)",
		"65": "too much memory was asked for (panic 0x41)",
		"81": "a function that was never set was called (panic 0x51)",
	}[code]
	if !ok {
		return "a panic with the unknown code " + clip(code, 80)
	}
	return words
}

func (e abiError) explain(data []byte) Revert {
	r := Revert{Name: e.name}
	args, err := unpackNamed(e.fields, data)
	if err != nil {
		r.Text = fmt.Sprintf("the contract refused with %s, and its arguments cannot be read: %v", clip(signatureOf(e.name, e.fields), 200), err)
		return r
	}
	if len(args) > 0 {
		r.Args = args
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the contract refused: %s", e.name)
	for i, f := range e.fields {
		sep := map[bool]string{true: " (", false: ", "}[i == 0]
		if s, ok := args[f.name].(string); ok && f.typ.kind == kindString {
			fmt.Fprintf(&b, "%s%s %q", sep, f.name, clip(s, 120))
			continue
		}
		fmt.Fprintf(&b, "%s%s %v", sep, f.name, args[f.name])
	}
	if len(e.fields) > 0 {
		b.WriteString(")")
	}
	r.Text = clip(b.String(), maxWordsShown)
	return r
}
