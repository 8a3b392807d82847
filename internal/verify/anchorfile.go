package verify

import "time"

// Kinds of anchors: who else says that a log had a checkpoint.
const (
	AnchorWitness   = "witness"   // a cosigned checkpoint (c2sp.org/tlog-cosignature)
	AnchorTimestamp = "timestamp" // a time-stamp token over the checkpoint (RFC 3161)
	AnchorChain     = "chain"     // a transaction to the registry on an Ethereum chain
	AnchorObject    = "object"    // an object under a retention lock
	AnchorFileKind  = "file"      // a line in a file outside of the data folder
)

// AnchorFile is what shows that a checkpoint was given to somebody outside: a part of an
// evidence package, and what an installation keeps of each anchor.
type AnchorFile struct {
	Kind        string    `json:"kind"`                 // one of the Anchor constants
	Destination string    `json:"destination"`          // name of the witness, address of the server, the bucket, the file
	Origin      string    `json:"origin"`               // of the log
	Size        int64     `json:"size"`                 // of the tree, in leaves
	Root        string    `json:"root"`                 // base64, as checkpoints have it
	Checkpoint  []byte    `json:"checkpoint"`           // the signed note that was given; cosigned for AnchorWitness
	Proof       []byte    `json:"proof,omitempty"`      // DER of the time-stamp response, for AnchorTimestamp
	At          time.Time `json:"at"`                   // when this installation had it confirmed; the destination's own time is in its proof
	ChainID     uint64    `json:"chain_id,omitempty"`   // for AnchorChain
	Address     string    `json:"address,omitempty"`    // of the registry, 0x…
	TxHash      string    `json:"tx_hash,omitempty"`    // 0x…
	Block       uint64    `json:"block,omitempty"`      // that has the transaction
	BlockHash   string    `json:"block_hash,omitempty"` // 0x…
}
