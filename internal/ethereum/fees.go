package ethereum

import (
	"fmt"
	"math/big"
	"slices"
)

// maxFeeBits bounds what is believed to be a fee: 2^96 wei are more than there is.
const maxFeeBits = 96

// leastTip is offered where nobody offered anything of late, in wei: what nodes ask for in
// their usual settings.
const leastTip = 1_000_000

// Fees is what the network asks for at present, in wei per gas.
type Fees struct {
	Base *big.Int // base fee of the next block
	Tip  *big.Int // what recent blocks' transactions paid on top
}

// Caps is what configuration allows to pay, in wei per gas. A nil cap is none.
type Caps struct {
	MaxFee *big.Int // all together
	MaxTip *big.Int // on top of the base fee
}

// Offer is what a transaction pays at most, in wei per gas (EIP-1559).
type Offer struct {
	MaxFee *big.Int // maxFeePerGas
	Tip    *big.Int // maxPriorityFeePerGas, at most MaxFee
}

// Price returns the offer of a new transaction: the base fee may double before it is
// stuck. Fees beyond the caps are an error of kind exceeds-cap, Unavailable: they pass.
func Price(now Fees, caps Caps) (Offer, error) {
	o := wish(now, caps)
	if caps.MaxFee == nil {
		return o, nil
	}
	if least := new(big.Int).Add(or0(now.Base), minOf(o.Tip, big.NewInt(1))); least.Cmp(caps.MaxFee) > 0 {
		return Offer{}, capError(fmt.Sprintf("the base fee is %s wei, and chain.max_fee_gwei allows %s", or0(now.Base), caps.MaxFee))
	}
	o.MaxFee = minOf(o.MaxFee, caps.MaxFee)
	o.Tip = minOf(o.Tip, new(big.Int).Sub(o.MaxFee, or0(now.Base)))
	return o, nil
}

// wish is what would be offered without a cap on the whole.
func wish(now Fees, caps Caps) Offer {
	tip := maxOf(or0(now.Tip), big.NewInt(leastTip))
	if caps.MaxTip != nil {
		tip = minOf(tip, caps.MaxTip)
	}
	fee := new(big.Int).Lsh(or0(now.Base), 1)
	return Offer{MaxFee: fee.Add(fee, tip), Tip: tip}
}

// Bump returns the offer of a transaction that replaces one with the same nonce: at least
// 12.5 % more in both parts, as nodes demand, and what Price would offer now. When the caps
// leave no room the error is of kind exceeds-cap.
func Bump(old Offer, now Fees, caps Caps) (Offer, error) {
	least := Offer{MaxFee: more(or0(old.MaxFee)), Tip: more(or0(old.Tip))}
	if caps.MaxTip != nil && least.Tip.Cmp(caps.MaxTip) > 0 {
		return Offer{}, capError(fmt.Sprintf("a replacement has to offer a tip of %s wei, and chain.max_tip_gwei allows %s", least.Tip, caps.MaxTip))
	}
	if caps.MaxFee != nil && least.MaxFee.Cmp(caps.MaxFee) > 0 {
		return Offer{}, capError(fmt.Sprintf("a replacement has to offer %s wei, and chain.max_fee_gwei allows %s", least.MaxFee, caps.MaxFee))
	}
	want := wish(now, caps)
	o := Offer{MaxFee: maxOf(least.MaxFee, want.MaxFee), Tip: maxOf(least.Tip, want.Tip)}
	if caps.MaxFee != nil {
		o.MaxFee = minOf(o.MaxFee, caps.MaxFee)
	}
	o.Tip = minOf(o.Tip, o.MaxFee) // more than all together is no offer
	if o.Tip.Cmp(least.Tip) < 0 {
		return Offer{}, capError(fmt.Sprintf("a replacement has to offer a tip of %s wei, and chain.max_fee_gwei allows %s in all", least.Tip, caps.MaxFee))
	}
	return o, nil
}

func capError(text string) error {
	return (&RPCError{Kind: ExceedsCap, Text: text}).public()
}

// more is 12.5 % more, rounded up, and 1 at least.
func more(n *big.Int) *big.Int {
	sum := new(big.Int).Mul(n, big.NewInt(9))
	sum.Add(sum, big.NewInt(7)).Rsh(sum, 3)
	if sum.Cmp(n) <= 0 {
		sum.Add(n, big.NewInt(1))
	}
	return sum
}

// median returns the middle of numbers, 0 of none.
func median(of []*big.Int) *big.Int {
	if len(of) == 0 {
		return new(big.Int)
	}
	slices.SortFunc(of, (*big.Int).Cmp)
	return of[len(of)/2]
}

func or0(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}

func minOf(a, b *big.Int) *big.Int {
	if a.Cmp(b) <= 0 {
		return new(big.Int).Set(a)
	}
	return new(big.Int).Set(b)
}

func maxOf(a, b *big.Int) *big.Int {
	if a.Cmp(b) >= 0 {
		return new(big.Int).Set(a)
	}
	return new(big.Int).Set(b)
}
