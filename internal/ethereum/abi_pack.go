package ethereum

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// maxData is the longest call data: nodes take no transaction above 128 KiB.
const maxData = 127 << 10

// word is the unit of the encoding.
const word = 32

// packer turns parameters into call data within a budget.
type packer struct {
	left int // bytes
}

// named packs an object's members as fields, in the fields' order. shown is the object in
// its canonical form.
func (p *packer) named(fields []abiField, m map[string]any, path string) (enc []byte, shown map[string]any, err error) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.ContainsFunc(fields, func(f abiField) bool { return f.name == name }) {
			names := make([]string, 0, len(fields))
			for _, f := range fields {
				names = append(names, f.name)
			}
			e := caos.Errorf(caos.Invalid, "there is no such parameter").WithField(path + "." + clip(name, 80))
			if len(names) == 0 {
				return nil, nil, e.WithHint("the function has no parameters")
			}
			return nil, nil, e.WithHint("it has %s", strings.Join(names, ", "))
		}
	}
	shown = make(map[string]any, len(fields))
	seq := newSequence(headWords(fields))
	for _, f := range fields {
		v, ok := m[f.name]
		if !ok {
			return nil, nil, caos.Errorf(caos.Invalid, "the parameter is missing").WithField(path+"."+f.name).
				WithHint("give a value of the type %s", clip(f.typ.name, 120))
		}
		e, s, err := p.value(f.typ, v, path+"."+f.name)
		if err != nil {
			return nil, nil, err
		}
		seq.add(f.typ, e)
		shown[f.name] = s
	}
	return seq.bytes(), shown, nil
}

// sequence collects the heads and tails of values that lie side by side.
type sequence struct {
	at         int // bytes of all heads together
	head, tail []byte
}

func newSequence(words int) *sequence { return &sequence{at: words * word} }

func (s *sequence) add(t *abiType, enc []byte) {
	if !t.dynamic {
		s.head = append(s.head, enc...)
		return
	}
	s.head = append(s.head, wordOf(uint64(s.at+len(s.tail)))...)
	s.tail = append(s.tail, enc...)
}

func (s *sequence) bytes() []byte { return append(s.head, s.tail...) }

func wordOf(n uint64) []byte { return common.LeftPadBytes(new(big.Int).SetUint64(n).Bytes(), word) }

// spend takes bytes from the budget.
func (p *packer) spend(n int, path string) error {
	if n > p.left {
		return caos.Errorf(caos.TooLarge, "the parameters fill more than %d KiB", maxData>>10).WithField(path).
			WithHint("record a digest of what is long")
	}
	p.left -= n
	return nil
}

// value packs one value. shown is its canonical form.
func (p *packer) value(t *abiType, v any, path string) (enc []byte, shown any, err error) {
	if err := p.spend(word, path); err != nil {
		return nil, nil, err
	}
	switch t.kind {
	case kindUint, kindInt:
		return packNumber(t, v, path)
	case kindAddress:
		a, err := addressOf(v, path)
		if err != nil {
			return nil, nil, err
		}
		return common.LeftPadBytes(a[:], word), a.Hex(), nil
	case kindBool:
		b, ok := v.(bool)
		if !ok {
			return nil, nil, wrong(t, v, path, "true or false")
		}
		return wordOf(map[bool]uint64{true: 1}[b]), b, nil
	case kindFixedBytes:
		b, err := bytesOf(t, v, path)
		if err != nil {
			return nil, nil, err
		}
		if len(b) != t.size {
			return nil, nil, caos.Errorf(caos.Invalid, "these are %d bytes, and %s has %d", len(b), t.name, t.size).WithField(path).
				WithHint("give 0x and %d hexadecimal digits", 2*t.size)
		}
		return common.RightPadBytes(b, word), hexutil.Encode(b), nil
	case kindBytes:
		b, err := bytesOf(t, v, path)
		if err != nil {
			return nil, nil, err
		}
		enc, err := p.blob(b, path)
		return enc, hexutil.Encode(b), err
	case kindString:
		s, ok := v.(string)
		if !ok {
			return nil, nil, wrong(t, v, path, "a string")
		}
		enc, err := p.blob([]byte(s), path)
		return enc, s, err
	case kindTuple:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, nil, wrong(t, v, path, "an object with the members of the tuple")
		}
		return p.named(t.fields, m, path)
	}
	return p.list(t, v, path)
}

// blob packs a byte string with its length.
func (p *packer) blob(b []byte, path string) ([]byte, error) {
	padded := (len(b) + word - 1) / word * word
	if err := p.spend(padded+word, path); err != nil {
		return nil, err
	}
	return append(wordOf(uint64(len(b))), common.RightPadBytes(b, padded)...), nil
}

func (p *packer) list(t *abiType, v any, path string) (enc []byte, shown any, err error) {
	list, ok := v.([]any)
	if !ok {
		return nil, nil, wrong(t, v, path, "a list")
	}
	if t.kind == kindArray && len(list) != t.size {
		return nil, nil, caos.Errorf(caos.Invalid, "the list has %d elements, and %s has %d", len(list), clip(t.name, 120), t.size).WithField(path)
	}
	if len(list) > p.left/word { // before anything is made of it
		return nil, nil, p.spend(p.left+1, path)
	}
	out := make([]any, 0, len(list))
	seq := newSequence(len(list) * t.elem.words)
	for i, e := range list {
		b, s, err := p.value(t.elem, e, path+"["+strconv.Itoa(i)+"]")
		if err != nil {
			return nil, nil, err
		}
		seq.add(t.elem, b)
		out = append(out, s)
	}
	if t.kind == kindList {
		return append(wordOf(uint64(len(list))), seq.bytes()...), out, nil
	}
	return seq.bytes(), out, nil
}

func packNumber(t *abiType, v any, path string) (enc []byte, shown any, err error) {
	n, err := numberOf(t, v, path)
	if err != nil {
		return nil, nil, err
	}
	low, high := rangeOf(t)
	if n.Cmp(low) < 0 || n.Cmp(high) > 0 {
		return nil, nil, caos.Errorf(caos.Invalid, "%s is out of range", clip(n.String(), 90)).WithField(path).
			WithHint("%s goes from %s to %s", t.name, low, high)
	}
	if n.Sign() < 0 { // two's complement
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), 256))
		shown = new(big.Int).Sub(n, new(big.Int).Lsh(big.NewInt(1), 256)).String()
	} else {
		shown = n.String()
	}
	return common.LeftPadBytes(n.Bytes(), word), shown, nil
}

// rangeOf is the least and the greatest number of a type.
func rangeOf(t *abiType) (low, high *big.Int) {
	one := big.NewInt(1)
	if t.kind == kindUint {
		return new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(one, uint(t.size)), one)
	}
	half := new(big.Int).Lsh(one, uint(t.size-1))
	return new(big.Int).Neg(half), new(big.Int).Sub(half, one)
}

// numberOf reads an integer as JSON or Go has it.
func numberOf(t *abiType, v any, path string) (*big.Int, error) {
	switch n := v.(type) {
	case *big.Int:
		if n != nil {
			return new(big.Int).Set(n), nil
		}
	case uint64:
		return new(big.Int).SetUint64(n), nil
	case int64:
		return big.NewInt(n), nil
	case int:
		return big.NewInt(int64(n)), nil
	case float64: // from a decoder that keeps no digits
		if n != math.Trunc(n) || math.IsInf(n, 0) || math.IsNaN(n) {
			return nil, notInteger(path)
		}
		if math.Abs(n) > 1<<53 {
			return nil, inexact(path)
		}
		return big.NewInt(int64(n)), nil
	case json.Number:
		i, ok := new(big.Int).SetString(clip(string(n), 100), 10)
		if !ok || strings.ContainsAny(string(n), ".eE_") {
			return nil, notInteger(path)
		}
		if i.CmpAbs(big.NewInt(1<<53)) > 0 {
			return nil, inexact(path)
		}
		return i, nil
	case string:
		return digitsOf(n, path)
	}
	return nil, wrong(t, v, path, "an integer")
}

func notInteger(path string) error {
	return caos.Errorf(caos.Invalid, "an integer is expected here").WithField(path).WithHint("write all its digits, without a point and without an exponent")
}

func inexact(path string) error {
	return caos.Errorf(caos.Invalid, "JSON numbers beyond 2^53 are not exact").WithField(path).WithHint("write it as a string of its digits")
}

func digitsOf(s, path string) (*big.Int, error) {
	digits, base := s, 10
	negative := strings.HasPrefix(digits, "-")
	digits = strings.TrimPrefix(digits, "-")
	if h, hexa := strings.CutPrefix(digits, "0x"); hexa {
		digits, base = h, 16
	}
	bad := digits == "" || len(digits) > 80 || base == 10 && len(digits) > 1 && digits[0] == '0' || negative && strings.Trim(digits, "0") == ""
	for _, c := range []byte(digits) {
		if c >= '0' && c <= '9' || base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			continue
		}
		bad = true
	}
	if bad {
		return nil, caos.Errorf(caos.Invalid, "%q is not an integer", clip(s, 80)).WithField(path).
			WithHint("write decimal digits without a leading zero, or 0x and hexadecimal digits")
	}
	n, _ := new(big.Int).SetString(digits, base)
	if negative {
		n.Neg(n)
	}
	return n, nil
}

// bytesOf reads 0x and hexadecimal digits.
func bytesOf(t *abiType, v any, path string) ([]byte, error) {
	switch b := v.(type) {
	case []byte:
		return b, nil
	case common.Hash:
		return b[:], nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, wrong(t, v, path, "0x and hexadecimal digits")
	}
	digits, prefixed := strings.CutPrefix(s, "0x")
	b, err := hex.DecodeString(digits)
	if !prefixed || err != nil {
		return nil, caos.Errorf(caos.Invalid, "%q is not a byte string", clip(s, 80)).WithField(path).
			WithHint("give 0x and an even number of hexadecimal digits")
	}
	return b, nil
}

func addressOf(v any, path string) (common.Address, error) {
	if a, ok := v.(common.Address); ok {
		return a, nil
	}
	s, ok := v.(string)
	if !ok {
		return common.Address{}, wrong(&abiType{name: "address"}, v, path, "0x and 40 hexadecimal digits")
	}
	a, err := ParseAddress(s)
	if err != nil {
		return a, caos.AsError(err).WithField(path)
	}
	return a, nil
}

// ParseAddress reads an address: 0x and 40 hexadecimal digits, all of one case or with
// their EIP-55 check sum.
func ParseAddress(s string) (common.Address, error) {
	digits, prefixed := strings.CutPrefix(s, "0x")
	raw, err := hex.DecodeString(digits)
	if !prefixed || err != nil || len(raw) != common.AddressLength {
		return common.Address{}, caos.Errorf(caos.Invalid, "%q is not an address", clip(s, 80)).
			WithHint("give 0x and 40 hexadecimal digits")
	}
	a := common.BytesToAddress(raw)
	mixed := strings.ToLower(digits) != digits && strings.ToUpper(digits) != digits
	if mixed && a.Hex() != s {
		return common.Address{}, caos.Errorf(caos.Invalid, "the check sum of the address %s is wrong (EIP-55)", s).
			WithHint("one of its digits is mistyped: copy it again")
	}
	return a, nil
}

func wrong(t *abiType, v any, path, want string) error {
	got := "this"
	switch v.(type) {
	case nil:
		got = "null"
	case string:
		got = "a string"
	case bool:
		got = "true or false"
	case json.Number, float64, int, int64, uint64:
		got = "a number"
	case []any:
		got = "a list"
	case map[string]any:
		got = "an object"
	}
	return caos.Errorf(caos.Invalid, "%s is not a value of the type %s", got, clip(t.name, 120)).WithField(path).
		WithHint("%s", fmt.Sprintf("give %s", want))
}
