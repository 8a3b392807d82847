// Package binding is the contract ProductionRegistry in Go, as abigen writes it with
// go-ethereum's own client below. Programs that deploy the contract or look at it with another
// client than ours use it; caos itself packs and reads calls by internal/ethereum, and does
// without that client's modules.
package binding
