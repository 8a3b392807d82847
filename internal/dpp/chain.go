package dpp

import (
	"strconv"
	"strings"
	"unicode"

	"caos"
	"caos/internal/db"
)

// Confirmed says that a transaction on a chain which records the passport is final there:
// from now on the passport may call itself confirmed. The same again changes nothing; another
// one takes its place only after Withdrawn, because one that is final stays so. Errors:
// Invalid, NotFound, Conflict.
func (p *Passports) Confirmed(tx *db.Tx, passportID, hash string, block, chainID uint64) error {
	if !txHash(hash) || block >= 1<<63 {
		return caos.Errorf(caos.Invalid, "%.80q in block %d is no transaction", hash, block).WithField("hash")
	}
	row, err := getPassport(tx.Query, p.baseURL, passportID)
	if err != nil {
		return err
	}
	chain := strconv.FormatUint(chainID, 10)
	if row.ChainTxID != nil {
		if *row.ChainTxID == hash && row.ChainID == chain && row.ChainBlock == int64(block) {
			return nil
		}
		return caos.Errorf(caos.Conflict, "%s is recorded by the transaction %s", passportID, *row.ChainTxID).WithField("hash").
			WithHint("a transaction that vanished from the chain has to be withdrawn first")
	}
	by := By{Actor: system}
	_, err = p.log.Append(tx, by.record(row, "passport recorded on chain", map[string]any{
		"passport_id": passportID, "transaction": hash, "chain_id": chain, "block": strconv.FormatUint(block, 10), "passport_digest": row.Digest,
	}))
	if err != nil {
		return err
	}
	tx.Exec(`UPDATE passports SET chain_tx_id = $1, chain_id = $2, chain_block = $3, chain_reason = '' WHERE passport_id = $4`, hash, chain, int64(block), passportID)
	if _, err := history(tx, Entry{PassportID: passportID, Kind: KindChain, Subject: hash, At: p.now(), Actor: system}); err != nil {
		return err
	}
	return p.emit(tx, EventChained, row)
}

// Withdrawn takes Confirmed back: the transaction that was final is on the chain no more.
// What is not on the chain is not called so. It changes nothing if the passport has another
// transaction or none.
func (p *Passports) Withdrawn(tx *db.Tx, passportID, hash, why string) error {
	row, err := getPassport(tx.Query, p.baseURL, passportID)
	if err != nil {
		return err
	}
	if row.ChainTxID == nil || *row.ChainTxID != hash {
		return nil
	}
	by := By{Actor: system}
	_, err = p.log.Append(tx, by.record(row, "passport on chain no more", map[string]any{"passport_id": passportID, "transaction": hash, "reason": clip(why)}))
	if err != nil {
		return err
	}
	tx.Exec(`UPDATE passports SET chain_tx_id = NULL, chain_id = '', chain_block = 0, chain_reason = $1 WHERE passport_id = $2`, clip(why), passportID)
	// The line about its confirmation stays, beside one that says what became of it; a second
	// confirmation of the same transaction begins anew.
	_, err = tx.ExecRows(`DELETE FROM passport_history WHERE passport_id = $1 AND kind = $2 AND subject = $3`, passportID, KindWithdrawn, hash)
	if err != nil {
		return err
	}
	_, err = history(tx, Entry{PassportID: passportID, Kind: KindWithdrawn, Subject: hash, At: p.now(), Actor: system})
	return err
}

// Unchained says why a passport has no transaction yet: that one is under way, or that none
// was asked for. It changes nothing of a passport whose transaction is confirmed.
func (p *Passports) Unchained(tx *db.Tx, passportID, why string) error {
	tx.Exec(`UPDATE passports SET chain_reason = $1 WHERE passport_id = $2 AND chain_tx_id IS NULL`, clip(why), passportID)
	return tx.Err()
}

// system is who acts where nobody asked.
const system = "caos"

// txHash reports whether a text is a hash of a transaction: 0x and 32 bytes in lower case hex.
func txHash(s string) bool {
	return len(s) == 66 && strings.HasPrefix(s, "0x") && strings.Trim(s[2:], "0123456789abcdef") == ""
}

// clip bounds a reason that comes from elsewhere. It is shown in terminals, which it must not
// command.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 1000 {
		s = strings.ToValidUTF8(s[:1000], "") + "…"
	}
	return s
}
