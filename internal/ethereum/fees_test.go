package ethereum

import (
	"math/big"
	"testing"

	"caos"

	"pgregory.net/rapid"
)

func gwei(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e9)) }

func TestPrice(t *testing.T) {
	for _, x := range []struct {
		name     string
		now      Fees
		caps     Caps
		fee, tip *big.Int // nil: refused
	}{
		{"twice the base fee and the tip", Fees{gwei(10), gwei(2)}, Caps{}, gwei(22), gwei(2)},
		{"capped tip", Fees{gwei(10), gwei(2)}, Caps{MaxTip: gwei(1)}, gwei(21), gwei(1)},
		{"capped fee", Fees{gwei(10), gwei(2)}, Caps{MaxFee: gwei(15)}, gwei(15), gwei(2)},
		{"the cap eats the tip", Fees{gwei(10), gwei(2)}, Caps{MaxFee: gwei(11)}, gwei(11), gwei(1)},
		{"no room", Fees{gwei(10), gwei(2)}, Caps{MaxFee: gwei(9)}, nil, nil},
		{"no room for a tip", Fees{gwei(10), gwei(2)}, Caps{MaxFee: gwei(10)}, nil, nil},
		{"an idle chain", Fees{big.NewInt(7), new(big.Int)}, Caps{}, big.NewInt(1_000_014), big.NewInt(1_000_000)},
		{"nothing known", Fees{}, Caps{}, big.NewInt(1_000_000), big.NewInt(1_000_000)},
	} {
		o, err := Price(x.now, x.caps)
		if x.fee == nil {
			if !Is(err, ExceedsCap) || caos.KindOf(err) != caos.Unavailable {
				t.Errorf("%s: %v %v", x.name, o, err)
			}
			continue
		}
		if err != nil || o.MaxFee.Cmp(x.fee) != 0 || o.Tip.Cmp(x.tip) != 0 {
			t.Errorf("%s: %v %v", x.name, o, err)
		}
	}
}

// TestOffers holds what must be true of every offer.
func TestOffers(t *testing.T) {
	wei := rapid.Custom(func(r *rapid.T) *big.Int { return big.NewInt(rapid.Int64Range(0, 1e13).Draw(r, "wei")) })
	maybe := rapid.Custom(func(r *rapid.T) *big.Int {
		if rapid.Bool().Draw(r, "none") {
			return nil
		}
		return wei.Draw(r, "cap")
	})
	within := func(r *rapid.T, o Offer, caps Caps) {
		if o.Tip.Sign() < 0 || o.Tip.Cmp(o.MaxFee) > 0 || caps.MaxFee != nil && o.MaxFee.Cmp(caps.MaxFee) > 0 || caps.MaxTip != nil && o.Tip.Cmp(caps.MaxTip) > 0 {
			r.Fatalf("offer %v under caps %v", o, caps)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		now, caps := Fees{wei.Draw(r, "base"), wei.Draw(r, "tip")}, Caps{maybe.Draw(r, "fee"), maybe.Draw(r, "tip")}
		o, err := Price(now, caps)
		if err != nil {
			return
		}
		within(r, o, caps)
		if o.MaxFee.Cmp(now.Base) < 0 {
			r.Fatalf("%v does not pay the base fee of %v", o, now)
		}
		for range 5 {
			next, err := Bump(o, Fees{wei.Draw(r, "base"), wei.Draw(r, "tip")}, caps)
			if err != nil {
				if !Is(err, ExceedsCap) || caps == (Caps{}) {
					r.Fatal(err)
				}
				return
			}
			within(r, next, caps)
			for _, p := range [][2]*big.Int{{o.MaxFee, next.MaxFee}, {o.Tip, next.Tip}} {
				if new(big.Int).Mul(p[1], big.NewInt(8)).Cmp(new(big.Int).Mul(p[0], big.NewInt(9))) < 0 || p[1].Cmp(p[0]) <= 0 {
					r.Fatalf("%v after %v is less than 12.5 %% more", next, o)
				}
			}
			o = next
		}
	})
}
