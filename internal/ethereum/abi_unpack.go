package ethereum

import (
	"errors"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// Bounds of what is made of foreign bytes. Offsets may point anywhere, so that a few
// kilobytes can describe a value of any size.
const (
	maxValues  = 10_000
	maxUnpaked = 1 << 20 // bytes of all strings together
)

// unpacker decodes foreign bytes within a budget.
type unpacker struct {
	values int
	bytes  int
}

// errShape is what is wrong with foreign bytes; the callers say where they are from.
func errShape(what string) error { return errors.New(what) }

// unpackNamed decodes fields that lie side by side. Numbers become decimal strings,
// addresses their EIP-55 form, byte strings 0x-hexadecimal, tuples maps.
func unpackNamed(fields []abiField, data []byte) (map[string]any, error) {
	u := unpacker{values: maxValues, bytes: maxUnpaked}
	return u.named(fields, data)
}

// named decodes fields whose heads begin at frame, which offsets count from.
func (u *unpacker) named(fields []abiField, frame []byte) (map[string]any, error) {
	out := make(map[string]any, len(fields))
	at := 0
	for _, f := range fields {
		v, err := u.at(f.typ, frame, at)
		if err != nil {
			return nil, err
		}
		out[f.name] = v
		at += f.typ.words * word
	}
	return out, nil
}

// at decodes the value whose head lies at an index of frame.
func (u *unpacker) at(t *abiType, frame []byte, at int) (any, error) {
	if u.values--; u.values < 0 {
		return nil, errShape("it describes too many values")
	}
	if at > len(frame) || len(frame)-at < t.words*word {
		return nil, errShape("it is too short")
	}
	if !t.dynamic {
		return u.static(t, frame[at:])
	}
	offset, err := length(frame[at:])
	if err != nil {
		return nil, err
	}
	if offset > len(frame) {
		return nil, errShape("an offset points behind its end")
	}
	return u.tail(t, frame[offset:])
}

// length reads a word that is an offset or a length.
func length(b []byte) (int, error) {
	if len(b) < word {
		return 0, errShape("it is too short")
	}
	n := new(big.Int).SetBytes(b[:word])
	if !n.IsInt64() || n.Int64() > 1<<30 {
		return 0, errShape("an offset or a length is absurd")
	}
	return int(n.Int64()), nil
}

// tail decodes a dynamic value from where its own bytes begin.
func (u *unpacker) tail(t *abiType, b []byte) (any, error) {
	switch t.kind {
	case kindTuple:
		return u.named(t.fields, b)
	case kindArray:
		return u.elements(t, b, t.size)
	}
	n, err := length(b)
	if err != nil {
		return nil, err
	}
	b = b[word:]
	if t.kind == kindList {
		return u.elements(t, b, n)
	}
	if n > len(b) {
		return nil, errShape("it is shorter than the length it states")
	}
	if u.bytes -= n; u.bytes < 0 {
		return nil, errShape("it describes too much text")
	}
	if t.kind == kindString {
		return strings.ToValidUTF8(string(b[:n]), "�"), nil
	}
	return hexutil.Encode(b[:n]), nil
}

func (u *unpacker) elements(t *abiType, frame []byte, n int) (any, error) {
	if n > u.values || n > len(frame)/word { // each has a word at least
		return nil, errShape("a list is longer than its bytes")
	}
	out := make([]any, 0, n)
	for i := range n {
		v, err := u.at(t.elem, frame, i*t.elem.words*word)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// static decodes a value of fixed size; b has its words.
func (u *unpacker) static(t *abiType, b []byte) (any, error) {
	switch t.kind {
	case kindTuple:
		return u.named(t.fields, b)
	case kindArray:
		return u.elements(t, b, t.size)
	}
	b = b[:word]
	switch t.kind {
	case kindUint, kindInt:
		n := new(big.Int).SetBytes(b)
		if t.kind == kindInt && b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 256))
		}
		if low, high := rangeOf(t); n.Cmp(low) < 0 || n.Cmp(high) > 0 {
			return nil, errShape("a number is out of the range of its type")
		}
		return n.String(), nil
	case kindAddress:
		if !zero(b[:word-common.AddressLength]) {
			return nil, errShape("an address has more than 20 bytes")
		}
		return common.BytesToAddress(b).Hex(), nil
	case kindBool:
		if !zero(b[:word-1]) || b[word-1] > 1 {
			return nil, errShape("a truth value is neither 0 nor 1")
		}
		return b[word-1] == 1, nil
	}
	if !zero(b[t.size:]) {
		return nil, errShape("a byte string is longer than its type")
	}
	return hexutil.Encode(b[:t.size]), nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
