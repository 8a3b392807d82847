// Package ethereum is the client's side of an Ethereum network: several JSON-RPC endpoints
// that are believed only as far as their answers fit what was asked, ABIs that were
// uploaded, keys, and the arithmetic of fees. It keeps nothing: which transaction has which
// nonce, and what became of it, belongs to internal/chain.
//
// Everything from outside (endpoints, ABIs, key files, remote signers, revert data) is
// hostile: sizes, depth and counts are bounded, and every error is a *caos.Error whose
// message may be shown. What an endpoint answered wrongly lies inside as an *RPCError.
package ethereum
