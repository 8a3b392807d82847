package reviewing

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/bench/faults/sample"
	"caos/internal/auth"
)

// Who does what. Nobody on the approving side had a hand in a version.
const (
	Requester = "rel"   // asks for reviews
	Releaser  = "rita"  // gives releases their scope and asks for them
	Chief     = "carl"  // votes and approves
	Quality   = "quin"  // approves, and closes conditions
	Other     = "qara"  // closes conditions at the same time
	Stopper   = "inge"  // revokes
	mender    = "mlo"   // owns the conditions and the risks
	collector = "cora"  // collects evidence
	admin     = "admin" // the first account
)

// Members are whom boards are made of.
func Members() []string { return []string{"b1", "b2", "b3", "b4", "b5"} }

func roles() map[string][]string {
	out := map[string][]string{admin: {"admin"}, Requester: {"release-manager"}, Releaser: {"release-manager"}, Chief: {"chief-engineer"}, Quality: {"qa-lead"},
		Other: {"qa-lead"}, Stopper: {"incident-responder"}, mender: {"mlops-engineer"}, collector: {"certification"}, "olga": {"model-owner"}, "vera": {"vv-lead"},
		"sam": {"safety-engineer"}, "conny": {"configuration-manager"}}
	for _, m := range Members() {
		out[m] = []string{"prr-board"}
	}
	return out
}

// As is a person with a second factor, as a node sees who authenticated.
func As(id string) caos.Principal { return caos.Principal{ID: id, Roles: roles()[id], MFA: "totp"} }

// pen is a person's own key, the same in every process.
func pen(person string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("faults " + person))
	return ed25519.NewKeyFromSeed(seed[:])
}

func wire(b []byte, parts ...[]byte) []byte {
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func blob(person string) []byte {
	return wire(nil, []byte("ssh-ed25519"), pen(person).Public().(ed25519.PublicKey))
}

// PublicKey is a person's key as a line of a .pub file.
func PublicKey(person string) string {
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob(person))
}

// Sign makes a person's SSH signature, as ssh-keygen -Y sign does (PROTOCOL.sshsig).
func Sign(person, namespace, message string) string {
	sum := sha512.Sum512([]byte(message))
	signed := wire([]byte("SSHSIG"), []byte(namespace), nil, []byte("sha512"), sum[:])
	sig := wire(nil, []byte("ssh-ed25519"), ed25519.Sign(pen(person), signed))
	out := wire(binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1), blob(person), []byte(namespace), nil, []byte("sha512"), sig)
	text := base64.StdEncoding.EncodeToString(out)
	var lines []string
	for len(text) > 70 {
		lines, text = append(lines, text[:70]), text[70:]
	}
	return "-----BEGIN SSH SIGNATURE-----\n" + strings.Join(append(lines, text), "\n") + "\n-----END SSH SIGNATURE-----\n"
}

// Signers have a key that somebody countersigned.
func Signers() []string { return append(Members(), Chief, Quality) }

// people makes the accounts and enrols keys.
func (d *Desk) people(ctx context.Context) error {
	var users []auth.NewUser
	for id, held := range roles() {
		users = append(users, auth.NewUser{ID: id, Name: strings.ToUpper(id), Roles: held})
	}
	slices.SortFunc(users, func(a, b auth.NewUser) int { // the first is the administrator
		return strings.Compare(sorted(a.ID), sorted(b.ID))
	})
	made, err := d.Auth.Bootstrap(ctx, users)
	if err != nil {
		return err
	}
	token := map[string]string{}
	for _, c := range made {
		token[c.User] = c.Token.Value
	}
	as := func(id string) (caos.Principal, error) {
		p, err := d.Auth.Authenticate(ctx, token[id], "", nil)
		p.MFA = "totp"
		return p, err
	}
	witness, err := as(Other)
	if err != nil {
		return err
	}
	for _, id := range Signers() {
		p, err := as(id)
		if err != nil {
			return err
		}
		statement, err := auth.NewKeyStatement(sample.Origin, id, PublicKey(id), time.Now())
		if err != nil {
			return err
		}
		k, err := d.Auth.EnrolKey(ctx, p, statement, []byte(Sign(id, auth.KeyNamespace, string(statement))))
		if err != nil {
			return fmt.Errorf("enrol the key of %s: %w", id, err)
		}
		if _, err := d.Auth.CountersignKey(ctx, witness, k.ID); err != nil {
			return fmt.Errorf("countersign the key of %s: %w", id, err)
		}
	}
	return nil
}

// sorted puts the administrator first.
func sorted(id string) string {
	if id == admin {
		return ""
	}
	return id
}
