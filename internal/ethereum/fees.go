package ethereum

import "math/big"

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
	Tip    *big.Int // maxPriorityFeePerGas
}

// Price returns the offer of a new transaction: the base fee may double before it is
// stuck. Fees beyond the caps are an error of kind exceeds-cap, Unavailable: they pass.
func Price(now Fees, caps Caps) (Offer, error) { return Offer{}, errSoon() }

// Bump returns the offer of a transaction that replaces one with the same nonce: at least
// 12.5 % more in both parts, as nodes demand, and what Price would offer now. When the caps
// leave no room the error is of kind exceeds-cap.
func Bump(old Offer, now Fees, caps Caps) (Offer, error) { return Offer{}, errSoon() }
