package anchor

import (
	"time"

	"caos/internal/verify"
)

// State of an anchor.
type State string

// An anchor of a chain is PENDING until its transaction is final; all others are written
// when they are CONFIRMED.
const (
	Pending   State = "PENDING"
	Confirmed State = "CONFIRMED"
	Failed    State = "FAILED"
)

// Anchor is a checkpoint of the log that a destination was given.
type Anchor struct {
	AnchorID      string    `json:"anchor_id"`   // ANCHOR-<stamp>
	Kind          string    `json:"kind"`        // one of verify's Anchor constants
	Destination   string    `json:"destination"` // see Destination
	Origin        string    `json:"origin"`      // of the log
	Size          int64     `json:"size"`        // leaves of the tree
	Root          string    `json:"root"`        // base64, as checkpoints have it
	State         State     `json:"state"`       //
	Error         string    `json:"error,omitempty"`
	At            time.Time `json:"at"`                     // when it was begun
	ConfirmedAt   time.Time `json:"confirmed_at,omitzero"`  // when this installation had it confirmed
	ProvedAt      time.Time `json:"proved_at,omitzero"`     // the destination's own time: of a cosignature, a time stamp, a block
	Place         string    `json:"place,omitempty"`        // s3://… of the object
	ChainID       uint64    `json:"chain_id,omitempty"`     // of a chain; so the next six
	Address       string    `json:"address,omitempty"`      // of the registry, 0x…
	ExecutionID   string    `json:"execution_id,omitempty"` // that has it recorded
	TransactionID string    `json:"transaction_id,omitempty"`
	TxHash        string    `json:"tx_hash,omitempty"` // 0x…
	Block         uint64    `json:"block,omitempty"`
	BlockHash     string    `json:"block_hash,omitempty"` // 0x…
	AskedBy       string    `json:"asked_by"`             // caos by schedule
	Checkpoint    string    `json:"checkpoint"`           // the signed note that was given; cosigned for a witness
	Proof         []byte    `json:"proof,omitempty"`      // DER of the time-stamp response

	Project        string `json:"project"`
	Classification string `json:"classification"`
}

// File is the anchor as verifiers read it.
func (a *Anchor) File() verify.AnchorFile {
	return verify.AnchorFile{Kind: a.Kind, Destination: a.Destination, Origin: a.Origin, Size: a.Size, Root: a.Root,
		Checkpoint: []byte(a.Checkpoint), Proof: a.Proof, At: a.ConfirmedAt, ChainID: a.ChainID, Address: a.Address, TxHash: a.TxHash,
		Block: a.Block, BlockHash: a.BlockHash}
}

// Filter says which anchors List returns; empty fields do not matter.
type Filter struct {
	Kind        string
	Destination string
	State       State
	Size        int64 // of exactly so many leaves
	Limit       int   // of a page: 100 unless positive, at most 1000
}

// Standing of a destination.
type Standing string

// A destination is OK, FAILING since some time, or DIVERGED: it holds what this log cannot
// have led to.
const (
	OK       Standing = "OK"
	Failing  Standing = "FAILING"
	Diverged Standing = "DIVERGED"
)

// Destination is how it stands with one of the configured destinations.
type Destination struct {
	Kind         string    `json:"kind"`
	Destination  string    `json:"destination"` // name of a witness, address of a server, s3://…, path, or chain:<id>:<registry>
	State        Standing  `json:"state"`
	Origin       string    `json:"origin,omitempty"`        // of the log that Size is about
	Size         int64     `json:"size"`                    // newest that it has confirmed, 0 for none
	Error        string    `json:"error,omitempty"`         // of the last attempt
	Attempts     int64     `json:"attempts,omitempty"`      // that failed since the last that did not
	FailingSince time.Time `json:"failing_since,omitzero"`  //
	TriedAt      time.Time `json:"tried_at,omitzero"`       //
	NextAt       time.Time `json:"next_at,omitzero"`        // when it is asked again, if there is anything to anchor
	AlertID      string    `json:"alert_id,omitempty"`      // that was raised about it
	Anchor       *Anchor   `json:"newest_anchor,omitempty"` // the newest, confirmed or not
}

// Status is how it stands with all anchors.
type Status struct {
	Origin       string        `json:"origin"`             // of the log
	Size         int64         `json:"size"`               // leaves of the log now
	Recovery     string        `json:"recovery,omitempty"` // why the log is in recovery mode: then nothing is anchored
	Every        string        `json:"every"`              // such as 1h0m0s
	Quorum       int           `json:"quorum"`             // witnesses that must have cosigned what /log/checkpoint serves
	CosignedSize int64         `json:"cosigned_size"`      // largest checkpoint that as many witnesses have cosigned, 0 for none
	Destinations []Destination `json:"destinations"`       //
	Kinds        []string      `json:"kinds,omitzero"`     // that are configured
}
