package ethereum

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"caos"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"pgregory.net/rapid"
)

// everyType has a parameter of every kind.
const everyType = `[
 {"type":"constructor","inputs":[]},{"type":"receive","stateMutability":"payable"},{"type":"fallback","stateMutability":"nonpayable"},
 {"type":"function","name":"put","stateMutability":"nonpayable","inputs":[
  {"name":"u8","type":"uint8"},{"name":"u256","type":"uint256"},{"name":"i16","type":"int16"},{"name":"who","type":"address"},
  {"name":"yes","type":"bool"},{"name":"b4","type":"bytes4"},{"name":"blob","type":"bytes"},{"name":"text","type":"string"},
  {"name":"pair","type":"uint64[2]"},{"name":"list","type":"string[]"},
  {"name":"rec","type":"tuple","components":[{"name":"x","type":"uint64"},{"name":"y","type":"bytes"},{"name":"z","type":"tuple[]","components":[{"name":"q","type":"int256"}]}]},
  {"name":"","type":"bool"}],"outputs":[{"name":"","type":"uint256"},{"name":"who","type":"address"}]},
 {"type":"function","name":"twin","stateMutability":"view","inputs":[{"name":"a","type":"uint256"}]},
 {"type":"function","name":"twin","stateMutability":"view","inputs":[{"name":"a","type":"string"}]},
 {"type":"function","name":"none","constant":true,"inputs":[]},
 {"type":"error","name":"Denied","inputs":[{"name":"who","type":"address"},{"name":"why","type":"string"}]},
 {"type":"error","name":"Bare","inputs":[]},
 {"type":"event","name":"Moved","inputs":[{"name":"from","type":"address","indexed":true},{"name":"note","type":"string","indexed":true},{"name":"amount","type":"uint256"}]}
]`

func mustABI(t testing.TB, text string) *ABI {
	t.Helper()
	a, err := ParseABI([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func goodParams() map[string]any {
	return map[string]any{
		"u8": json.Number("255"), "u256": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
		"i16": "-32768", "who": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "yes": true, "b4": "0xDEADbeef", "blob": "0x", "text": "grüße <&>",
		"pair": []any{json.Number("1"), "0x10"}, "list": []any{"a", ""}, "arg11": false,
		"rec": map[string]any{"x": float64(7), "y": "0x0102", "z": []any{map[string]any{"q": "-1"}}},
	}
}

func TestPackEveryKind(t *testing.T) {
	a := mustABI(t, everyType)
	data, canonical, err := a.Pack("put", goodParams())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"arg11":false,"b4":"0xdeadbeef","blob":"0x","i16":"-32768","list":["a",""],"pair":["1","16"],` +
		`"rec":{"x":"7","y":"0x0102","z":[{"q":"-1"}]},"text":"grüße <&>","u256":"115792089237316195423570985008687907853269984665640564039457584007913129639935",` +
		`"u8":"255","who":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","yes":true}`
	if string(canonical) != want {
		t.Errorf("canonical\n%s\nwant\n%s", canonical, want)
	}
	var again map[string]any
	if err := json.Unmarshal(canonical, &again); err != nil {
		t.Fatal(err)
	}
	data2, canonical2, err := a.Pack(a.Functions()[1].Signature, again)
	if err != nil || !bytes.Equal(data, data2) || !bytes.Equal(canonical, canonical2) {
		t.Errorf("the canonical form packs to something else: %v", err)
	}
	oracle(t, everyType, "put", data)
	f, args, err := a.Decode(data)
	if err != nil || f.Name != "put" || !reflect.DeepEqual(args, again) {
		t.Errorf("decoded %v %v %v", f, args, err)
	}
}

// oracle lets go-ethereum's own codec read call data and write it again.
func oracle(t testing.TB, text, name string, data []byte) {
	t.Helper()
	ref, err := abi.JSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	m := ref.Methods[name]
	if !bytes.Equal(m.ID, data[:4]) {
		t.Fatalf("the selector is %x, go-ethereum says %x", data[:4], m.ID)
	}
	values, err := m.Inputs.Unpack(data[4:])
	if err != nil {
		t.Fatalf("go-ethereum cannot read it: %v", err)
	}
	again, err := m.Inputs.Pack(values...)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, data[4:]) {
		t.Fatalf("go-ethereum packs\n%x\nand we\n%x", again, data[4:])
	}
}

// drawType makes a type, its JSON and a way to draw its values.
func drawType(r *rapid.T, depth int) (spec map[string]any, value func() any) {
	kinds := []string{"uint", "int", "address", "bool", "bytesN", "bytes", "string"}
	if depth > 0 {
		kinds = append(kinds, "array", "list", "tuple", "tuple")
	}
	num := func(bits int, signed bool) any {
		n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), bits/8, bits/8).Draw(r, "n"))
		if signed {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
		}
		return n.String()
	}
	hex := func(n int) any { return hexutil.Encode(rapid.SliceOfN(rapid.Byte(), n, n).Draw(r, "b")) }
	switch k := rapid.SampledFrom(kinds).Draw(r, "kind"); k {
	case "uint", "int":
		bits := 8 * rapid.IntRange(1, 32).Draw(r, "bits")
		return map[string]any{"type": fmt.Sprintf("%s%d", k, bits)}, func() any { return num(bits, k == "int") }
	case "address":
		return map[string]any{"type": k}, func() any { return common.HexToAddress(hex(20).(string)).Hex() }
	case "bool":
		return map[string]any{"type": k}, func() any { return rapid.Bool().Draw(r, "yes") }
	case "bytesN":
		n := rapid.IntRange(1, 32).Draw(r, "size")
		return map[string]any{"type": fmt.Sprintf("bytes%d", n)}, func() any { return hex(n) }
	case "bytes":
		return map[string]any{"type": k}, func() any { return hex(rapid.IntRange(0, 70).Draw(r, "len")) }
	case "string":
		return map[string]any{"type": k}, func() any { return rapid.StringN(0, 20, -1).Draw(r, "s") }
	case "array", "list":
		spec, one := drawType(r, depth-1)
		n, suffix := rapid.IntRange(1, 3).Draw(r, "n"), "[]"
		if k == "array" {
			suffix = fmt.Sprintf("[%d]", n)
		} else {
			n--
		}
		spec["type"] = spec["type"].(string) + suffix
		return spec, func() any {
			out := []any{}
			for range n {
				out = append(out, one())
			}
			return out
		}
	default:
		var comps []any
		var ones []func() any
		for i := range rapid.IntRange(1, 3).Draw(r, "fields") {
			c, one := drawType(r, depth-1)
			c["name"] = fmt.Sprintf("c%d", i)
			comps, ones = append(comps, c), append(ones, one)
		}
		return map[string]any{"type": "tuple", "components": comps}, func() any {
			m := map[string]any{}
			for i, one := range ones {
				m[fmt.Sprintf("c%d", i)] = one()
			}
			return m
		}
	}
}

// TestPackAgainstOracle packs random values of random types.
func TestPackAgainstOracle(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var inputs []any
		params := map[string]any{}
		for i := range rapid.IntRange(0, 4).Draw(r, "params") {
			spec, value := drawType(r, 3)
			name := fmt.Sprintf("p%d", i)
			spec["name"] = name
			inputs = append(inputs, spec)
			params[name] = value()
		}
		text, err := json.Marshal([]any{map[string]any{"type": "function", "name": "f", "inputs": inputs, "stateMutability": "view"}})
		if err != nil {
			r.Fatal(err)
		}
		a, err := ParseABI(text)
		if err != nil {
			r.Fatal(err)
		}
		data, canonical, err := a.Pack("f", params)
		if err != nil {
			r.Fatal(err)
		}
		oracle(t, string(text), "f", data)
		_, args, err := a.Decode(data)
		if err != nil {
			r.Fatal(err)
		}
		got, _ := json.Marshal(args)
		var x, y any
		if json.Unmarshal(got, &x) != nil || json.Unmarshal(canonical, &y) != nil || !reflect.DeepEqual(x, y) {
			r.Fatalf("decoded %s of %s", got, canonical)
		}
	})
}

func TestPackRefuses(t *testing.T) {
	a := mustABI(t, everyType)
	set := func(path string, v any) func(map[string]any) { return func(m map[string]any) { m[path] = v } }
	for _, c := range []struct {
		name  string
		bend  func(map[string]any)
		field string
		words string
	}{
		{"missing", func(m map[string]any) { delete(m, "u8") }, "u8", "missing"},
		{"unknown", set("more", 1), "more", "no such parameter"},
		{"too large", set("u8", json.Number("256")), "u8", "out of range"},
		{"negative", set("u8", json.Number("-1")), "u8", "out of range"},
		{"too small", set("i16", "-32769"), "i16", "out of range"},
		{"too large signed", set("i16", "32768"), "i16", "out of range"},
		{"2^256", set("u256", "115792089237316195423570985008687907853269984665640564039457584007913129639936"), "u256", "out of range"},
		{"inexact JSON number", set("u256", json.Number("9007199254740993")), "u256", "2^53"},
		{"inexact float", set("u256", 1e17), "u256", "2^53"},
		{"fraction", set("u8", json.Number("1.5")), "u8", "integer"},
		{"fraction as float", set("u8", 1.5), "u8", "integer"},
		{"exponent", set("u256", json.Number("1e3")), "u256", "integer"},
		{"exponent in text", set("u256", "1e3"), "u256", "not an integer"},
		{"leading zero", set("u8", "010"), "u8", "not an integer"},
		{"sign", set("u8", "+1"), "u8", "not an integer"},
		{"minus zero", set("i16", "-0"), "i16", "not an integer"},
		{"empty", set("u8", ""), "u8", "not an integer"},
		{"hex without digits", set("u8", "0x"), "u8", "not an integer"},
		{"endless digits", set("u256", strings.Repeat("9", 100_000)), "u256", "not an integer"},
		{"number for text", set("text", json.Number("1")), "text", "not a value of the type string"},
		{"null", set("text", nil), "text", "null"},
		{"text for truth", set("yes", "true"), "yes", "not a value of the type bool"},
		{"checksum", set("who", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"), "who", "check sum"},
		{"short address", set("who", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeA"), "who", "not an address"},
		{"address without 0x", set("who", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), "who", "not an address"},
		{"name as address", set("who", "vitalik.eth"), "who", "not an address"},
		{"short bytes", set("b4", "0xdeadbe"), "b4", "3 bytes"},
		{"long bytes", set("b4", "0xdeadbeef00"), "b4", "5 bytes"},
		{"odd digits", set("blob", "0x1"), "blob", "not a byte string"},
		{"no hex", set("blob", "zz"), "blob", "not a byte string"},
		{"array too short", set("pair", []any{"1"}), "pair", "has 2"},
		{"array too long", set("pair", []any{"1", "2", "3"}), "pair", "has 2"},
		{"inside an array", set("pair", []any{"1", "x"}), "pair[1]", "not an integer"},
		{"list of others", set("list", []any{"a", 1}), "list[1]", "not a value"},
		{"no list", set("list", "a"), "list", "a list"},
		{"inside a tuple", set("rec", map[string]any{"x": "1", "y": "0x", "z": []any{map[string]any{"q": true}}}), "rec.z[0].q", "not a value"},
		{"tuple lacks", set("rec", map[string]any{"x": "1", "y": "0x"}), "rec.z", "missing"},
		{"tuple has more", set("rec", map[string]any{"x": "1", "y": "0x", "z": []any{}, "w": 1}), "rec.w", "no such parameter"},
		{"tuple as list", set("rec", []any{"1"}), "rec", "an object"},
		{"too much text", set("text", strings.Repeat("x", 1<<20)), "text", "KiB"},
		{"too many elements", set("list", make([]any, 1<<20)), "list", "KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := goodParams()
			c.bend(m)
			_, _, err := a.Pack("put", m)
			var e *caos.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if e.Field != "function_parameters."+c.field || !strings.Contains(e.Message+" "+e.Hint, c.words) || e.Kind != caos.Invalid && e.Kind != caos.TooLarge {
				t.Errorf("got %q on %q (%s), want %q on %q", e.Message, e.Field, e.Hint, c.words, c.field)
			}
			if len(e.Message) > 400 {
				t.Errorf("the message has %d bytes", len(e.Message))
			}
		})
	}
	for name, words := range map[string]string{"twin": "by its signature", "nothing": "no function", "twin(uint8)": "no function", "": "no function"} {
		if _, _, err := a.Pack(name, map[string]any{"a": "1"}); err == nil || !strings.Contains(err.Error()+caos.AsError(err).Hint, words) || caos.AsError(err).Field != "contract_function" {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, _, err := a.Pack("twin(uint256)", map[string]any{"a": "1"}); err != nil {
		t.Error(err)
	}
	if data, canonical, err := a.Pack("none", nil); err != nil || len(data) != 4 || string(canonical) != "{}" {
		t.Error(data, string(canonical), err)
	}
}

func TestParseABIRefuses(t *testing.T) {
	fn := func(inputs string) string {
		return `[{"type":"function","name":"f","stateMutability":"view","inputs":` + inputs + `}]`
	}
	deep := `{"name":"a","type":"tuple","components":[`
	for _, c := range []struct{ name, text, field, words string }{
		{"empty", ``, "abi", ""},
		{"null", `null`, "abi", "array"},
		{"object", `{"abi":[]}`, "abi", "array"},
		{"nothing in it", `[]`, "abi", "no function"},
		{"only a constructor", `[{"type":"constructor"}]`, "abi", "no function"},
		{"no object", `[1]`, "abi[0]", "object"},
		{"no type", `[{"name":"f"}]`, "abi[0].type", "without a type"},
		{"unknown entry", `[{"type":"magic","name":"f"}]`, "abi[0].type", "unknown type"},
		{"no name", `[{"type":"function","inputs":[]}]`, "abi[0].name", "not a name"},
		{"bad name", `[{"type":"function","name":"f(uint256)","inputs":[]}]`, "abi[0].name", "not a name"},
		{"twice", `[{"type":"function","name":"f","inputs":[]},{"type":"function","name":"f","inputs":[]}]`, "abi[1]", "twice"},
		{"same selector", `[{"type":"function","name":"collate_propagate_storage","inputs":[{"type":"bytes16"}]},{"type":"function","name":"burn","inputs":[{"type":"uint256"}]}]`, "abi[1]", "one selector"},
		{"key twice", `[{"type":"function","type":"event","name":"f"}]`, "abi[0]", ""},
		{"mutability", `[{"type":"function","name":"f","stateMutability":"odd"}]`, "abi[0].stateMutability", "mutability"},
		{"inputs no list", fn(`{}`), "abi[0].inputs", "list"},
		{"type no string", fn(`[{"name":"a","type":1}]`), "abi[0].inputs[0].type", "string"},
		{"unknown type", fn(`[{"name":"a","type":"uint257"}]`), "abi[0].inputs[0].type", "unknown"},
		{"odd width", fn(`[{"name":"a","type":"uint9"}]`), "abi[0].inputs[0].type", "unknown"},
		{"zero width", fn(`[{"name":"a","type":"bytes0"}]`), "abi[0].inputs[0].type", "unknown"},
		{"leading zero", fn(`[{"name":"a","type":"uint08"}]`), "abi[0].inputs[0].type", "unknown"},
		{"short name", fn(`[{"name":"a","type":"uint"}]`), "abi[0].inputs[0].type", "unknown"},
		{"fixed", fn(`[{"name":"a","type":"fixed128x18"}]`), "abi[0].inputs[0].type", "unknown"},
		{"enum of a library", fn(`[{"name":"a","type":"Lib.Status"}]`), "abi[0].inputs[0].type", "unknown"},
		{"tuple without", fn(`[{"name":"a","type":"tuple"}]`), "abi[0].inputs[0].type", "without components"},
		{"tuple in brackets", fn(`[{"name":"a","type":"(uint256)"}]`), "abi[0].inputs[0].type", "unknown"},
		{"component", fn(`[{"name":"a","type":"tuple[]","components":[{"name":"b","type":"x"}]}]`), "abi[0].inputs[0].components[0].type", "unknown"},
		{"same names", fn(`[{"name":"a","type":"bool"},{"name":"a","type":"bool"}]`), "abi[0].inputs[1].name", "two parameters"},
		{"same as unnamed", fn(`[{"name":"arg1","type":"bool"},{"type":"bool"}]`), "abi[0].inputs[1].name", "two parameters"},
		{"array of none", fn(`[{"name":"a","type":"bool[0]"}]`), "abi[0].inputs[0].type", "length"},
		{"array too large", fn(`[{"name":"a","type":"bool[9999999999999999999]"}]`), "abi[0].inputs[0].type", "length"},
		{"arrays too large", fn(`[{"name":"a","type":"bool[4000][4000]"}]`), "abi[0].inputs[0].type", "larger"},
		{"open bracket", fn(`[{"name":"a","type":"]"}]`), "abi[0].inputs[0].type", "unknown"},
		{"deep arrays", fn(`[{"name":"a","type":"bool` + strings.Repeat("[]", 100) + `"}]`), "abi[0].inputs[0].type", "deep"},
		{"deep tuples", fn(`[` + strings.Repeat(deep, 11) + `{"name":"a","type":"bool"}` + strings.Repeat("]}", 11) + `]`), "", ""},
		{"large", "[" + strings.Repeat(" ", maxABI) + "]", "abi", "more than"},
		{"many entries", "[" + strings.Repeat(`{"type":"constructor"},`, maxEntries+1) + `{"type":"constructor"}]`, "abi", "more than"},
		{"many parameters", fn("[" + strings.Repeat(`{"type":"bool"},`, maxParams) + `{"type":"bool"}]`), "abi[0].inputs", "more than"},
		{"nesting", strings.Repeat("[", 100_000), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseABI([]byte(c.text))
			var e *caos.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if c.field != "" && !strings.HasPrefix(e.Field, c.field) || !strings.Contains(e.Message, c.words) {
				t.Errorf("got %q on %q, want %q on %q", e.Message, e.Field, c.words, c.field)
			}
		})
	}
}

func TestFunctions(t *testing.T) {
	var sigs []string
	a := mustABI(t, everyType)
	for _, f := range a.Functions() {
		sigs = append(sigs, f.Mutability+" "+f.Signature)
	}
	want := "view none(),nonpayable put(uint8,uint256,int16,address,bool,bytes4,bytes,string,uint64[2],string[],(uint64,bytes,(int256)[]),bool),view twin(string),view twin(uint256)"
	if strings.Join(sigs, ",") != want {
		t.Errorf("got %s", strings.Join(sigs, ","))
	}
	out, err := a.Unpack("put", append(common.LeftPadBytes([]byte{5}, 32), common.LeftPadBytes([]byte{6}, 32)...))
	if err != nil || out["arg0"] != "5" || out["who"] != common.HexToAddress("0x06").Hex() {
		t.Errorf("unpacked %v, %v", out, err)
	}
	if _, err := a.Unpack("put", []byte{1}); caos.KindOf(err) != caos.Invalid {
		t.Error(err)
	}
	if _, _, err := a.Decode([]byte{1, 2}); caos.KindOf(err) != caos.Invalid {
		t.Error(err)
	}
	if _, _, err := a.Decode([]byte{1, 2, 3, 4}); caos.KindOf(err) != caos.NotFound {
		t.Error(err)
	}
}

func TestRevert(t *testing.T) {
	a := mustABI(t, everyType)
	pack := func(sig string, types []string, values ...any) []byte {
		enc, err := arguments(types, values...)
		if err != nil {
			t.Fatal(err)
		}
		return append(crypto.Keccak256([]byte(sig))[:4], enc...)
	}
	who := common.HexToAddress("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	for _, c := range []struct {
		name  string
		data  []byte
		is    string
		words string
	}{
		{"none", nil, "", "without a reason"},
		{"one byte", []byte{1}, "", "1 bytes (0x01), too few"},
		{"three bytes", []byte{8, 0xc3, 0x79}, "", "3 bytes (0x08c379), too few"},
		{"reason", pack("Error(string)", []string{"string"}, "not yet"), "Error", "not yet"},
		{"empty reason", pack("Error(string)", []string{"string"}, ""), "Error", "empty reason"},
		{"long reason", pack("Error(string)", []string{"string"}, strings.Repeat("x", 50_000)), "Error", "…"},
		{"control characters", pack("Error(string)", []string{"string"}, "a\x1b[31m\nb\u202ec"), "Error", "a [31m b c"},
		{"no UTF-8", pack("Error(string)", []string{"string"}, "a\xffb"), "Error", "a�b"},
		{"cut reason", pack("Error(string)", []string{"string"}, "not yet")[:40], "Error", "cannot be read"},
		{"only a selector", pack("Error(string)", nil), "Error", "cannot be read"},
		{"assert", pack("Panic(uint256)", []string{"uint256"}, uint64(1)), "Panic", "assertion"},
		{"overflow", pack("Panic(uint256)", []string{"uint256"}, uint64(0x11)), "Panic", "overflow"},
		{"division", pack("Panic(uint256)", []string{"uint256"}, uint64(0x12)), "Panic", "division by zero"},
		{"index", pack("Panic(uint256)", []string{"uint256"}, uint64(0x32)), "Panic", "out of bounds"},
		{"unknown panic", pack("Panic(uint256)", []string{"uint256"}, uint64(0x99)), "Panic", "unknown code 153"},
		{"cut panic", pack("Panic(uint256)", nil), "Panic", "cannot be read"},
		{"custom", pack("Denied(address,string)", []string{"address", "string"}, who, "no role"), "Denied", `Denied (who ` + who.Hex() + `, why "no role")`},
		{"custom without", pack("Bare()", nil), "Bare", "the contract refused: Bare"},
		{"custom cut", pack("Denied(address,string)", nil), "Denied", "cannot be read"},
		{"unknown", []byte{1, 2, 3, 4, 5}, "", "0x01020304 and 1 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := a.Revert(c.data)
			if r.Name != c.is || !strings.Contains(r.Text, c.words) || len(r.Text) > 2*maxWordsShown {
				t.Errorf("got %+v", r)
			}
			if (*ABI)(nil).Revert(c.data).Text == "" {
				t.Error("no words without an ABI")
			}
		})
	}
}

// TestBombs are a few bytes that describe gigabytes.
func TestBombs(t *testing.T) {
	w := func(n int64) []byte { return common.LeftPadBytes(big.NewInt(n).Bytes(), 32) }
	cat := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	lists, text := "string"+strings.Repeat("[]", 6), `[{"type":"error","name":"E","inputs":[{"name":"a","type":"%s"}]}]`
	selector := func(typ string) []byte { return crypto.Keccak256([]byte("E(" + typ + ")"))[:4] }
	nest := w(32)
	for range 6 { // 64 elements each, every one the list behind
		nest = append(nest, w(64)...)
		for range 64 {
			nest = append(nest, w(64*32)...)
		}
	}
	nest = append(nest, w(0)...) // at the bottom an empty text, 64^6 times
	for _, c := range []struct {
		name, typ string
		data      []byte
	}{
		{"a list of 2^63", "uint256[]", cat(w(32), bytes.Repeat([]byte{0xff}, 32))},
		{"a list of a billion", "uint256[]", cat(w(32), w(1<<30))},
		{"an offset beyond", "string", w(1 << 40)},
		{"a text longer than its bytes", "string", cat(w(32), w(1<<20), w(0))},
		{"lists in lists", lists, nest},
		{"one text a thousand times", "string[]", func() []byte {
			b := cat(w(32), w(1000))
			for range 1000 {
				b = append(b, w(1000*32)...)
			}
			return cat(b, w(100_000), make([]byte, 100_000))
		}()},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := mustABI(t, fmt.Sprintf(text, c.typ))
			r := a.Revert(append(selector(c.typ), c.data...))
			if r.Name != "E" || !strings.Contains(r.Text, "cannot be read") {
				t.Errorf("got %.300v", r)
			}
		})
	}
}

func TestEvent(t *testing.T) {
	a := mustABI(t, everyType)
	who := common.HexToAddress("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	note := crypto.Keccak256Hash([]byte("hello"))
	log := &types.Log{
		Topics: []common.Hash{crypto.Keccak256Hash([]byte("Moved(address,string,uint256)")), common.BytesToHash(who[:]), note},
		Data:   common.LeftPadBytes([]byte{7}, 32),
	}
	e, err := a.Event(log)
	if err != nil || e.Name != "Moved" || !reflect.DeepEqual(e.Args, map[string]any{"from": who.Hex(), "note": note.Hex(), "amount": "7"}) {
		t.Fatalf("got %v %v", e, err)
	}
	for name, bend := range map[string]func(*types.Log){
		"no topics":       func(l *types.Log) { l.Topics = nil },
		"another":         func(l *types.Log) { l.Topics[0] = note },
		"a topic missing": func(l *types.Log) { l.Topics = l.Topics[:2] },
		"no data":         func(l *types.Log) { l.Data = nil },
		"a long address":  func(l *types.Log) { l.Topics[1] = note },
	} {
		bent := &types.Log{Topics: append([]common.Hash(nil), log.Topics...), Data: log.Data}
		bend(bent)
		if _, err := a.Event(bent); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := a.Event(nil); err == nil {
		t.Error("nil: no error")
	}
}

func FuzzParseABI(f *testing.F) {
	f.Add([]byte(everyType))
	f.Add([]byte(`[{"type":"function","name":"f","inputs":[{"type":"tuple[2][]","components":[{"type":"int8"}]}]}]`))
	if _, text, err := RegistryABI(); err == nil {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseABI(text)
		if err != nil {
			if caos.KindOf(err) != caos.Invalid && caos.KindOf(err) != caos.TooLarge {
				t.Fatal(err)
			}
			return
		}
		for _, fn := range a.Functions() {
			if got, err := a.Function(fn.Signature); err != nil || got.Selector != fn.Selector {
				t.Fatal(fn.Signature, err)
			}
		}
		if ref, err := abi.JSON(bytes.NewReader(text)); err == nil { // what both read means the same in both
			for _, m := range ref.Methods {
				if _, ok := a.functions[m.Sig]; !ok {
					t.Fatalf("go-ethereum reads %s", m.Sig)
				}
			}
		}
	})
}

func FuzzPack(f *testing.F) {
	good, err := json.Marshal(goodParams())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	a := mustABI(f, everyType)
	f.Fuzz(func(t *testing.T, text []byte) {
		var params map[string]any
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if dec.Decode(&params) != nil {
			return
		}
		data, canonical, err := a.Pack("put", params)
		if err != nil {
			if e := caos.AsError(err); e.Kind != caos.Invalid && e.Kind != caos.TooLarge || !strings.HasPrefix(e.Field, "function_parameters.") {
				t.Fatal(err)
			}
			return
		}
		oracle(t, everyType, "put", data)
		var again map[string]any
		if err := json.Unmarshal(canonical, &again); err != nil {
			t.Fatal(err)
		}
		data2, _, err := a.Pack("put", again)
		if err != nil || !bytes.Equal(data, data2) {
			t.Fatalf("%s: %v", canonical, err)
		}
	})
}

func FuzzRevert(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{8, 0xc3, 0x79})
	f.Add(append(hexutil.MustDecode("0x08c379a0"), common.LeftPadBytes([]byte{32}, 32)...))
	f.Add(append(hexutil.MustDecode("0x4e487b71"), common.LeftPadBytes([]byte{17}, 32)...))
	a := mustABI(f, everyType+"")
	all := mustABI(f, `[{"type":"error","name":"All","inputs":[{"name":"a","type":"uint8[]"},{"name":"b","type":"tuple[2]","components":[{"name":"c","type":"string"},{"name":"d","type":"bytes3"}]},{"name":"e","type":"int64"}]}]`)
	one := crypto.Keccak256([]byte("All(uint8[],(string,bytes3)[2],int64)"))[:4]
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, b := range [][]byte{data, append(bytes.Clone(one), data...)} {
			for _, x := range []*ABI{nil, a, all} {
				r := x.Revert(b)
				if r.Text == "" || len(r.Text) > 3*maxWordsShown {
					t.Fatalf("%x: %d bytes of words", b, len(r.Text))
				}
				if _, err := json.Marshal(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		_, _, _ = a.Decode(data)
	})
}
