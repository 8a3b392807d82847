package verify

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"io"
	"slices"

	"caos"
)

// Content is an entry to be written: its size and digest are known beforehand, its bytes
// are read when their turn comes.
type Content struct {
	Name   string                        // see ArtifactName and its kin
	SHA256 [32]byte                      // digest of the bytes
	Size   int64                         // number of bytes
	Open   func() (io.ReadCloser, error) // called once
}

// BytesContent is an entry whose bytes are in memory.
func BytesContent(name string, data []byte) Content {
	return Content{Name: name, SHA256: sha256.Sum256(data), Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// PackageInfo is what a manifest says beside its entries.
type PackageInfo struct {
	PackageID string
	ModelID   string
	Created   string // caos.TimeLayout
	Origin    string // of the log
	Audience  string // "authority", "supplier" or "public"
	Coverage  Coverage
	Log       Checkpoint // the tree of log/checkpoint
}

// WritePackage writes a package: manifest, signature, then the contents in the order of
// their names, whatever their order here. sign turns the in-toto statement about the
// manifest into a DSSE envelope (sign.PackageSigner). The same arguments always make the
// same bytes. An error leaves a partial file that no verifier accepts; contents whose
// bytes are not of the size and digest announced are one.
func WritePackage(w io.Writer, info PackageInfo, contents []Content, sign func(statement []byte) ([]byte, error)) error {
	contents = slices.Clone(contents)
	slices.SortFunc(contents, func(a, b Content) int { return cmp.Compare(a.Name, b.Name) })
	m := Manifest{
		Audience: info.Audience, Coverage: info.Coverage, Created: info.Created, ModelID: info.ModelID,
		Origin: info.Origin, PackageID: info.PackageID, Version: 1,
		Log:     ManifestLog{Root: FormatHash(info.Log.Root), Size: info.Log.Size},
		Entries: make([]ManifestEntry, len(contents)),
	}
	for i, c := range contents {
		m.Entries[i] = ManifestEntry{Kind: KindOf(c.Name), Name: c.Name, SHA256: tlogHex(c.SHA256), Size: c.Size}
	}
	if err := m.check(); err != nil {
		return err
	}
	manifest, err := m.canonical()
	if err != nil {
		return caos.Wrap(caos.Internal, err, "the manifest cannot be written")
	}
	envelope, err := signManifest(m.PackageID, manifest, sign)
	if err != nil {
		return err
	}
	for _, c := range []Content{BytesContent(ManifestName, manifest), BytesContent(SignatureName, envelope)} {
		if err := writeEntry(w, c); err != nil {
			return err
		}
	}
	for _, c := range contents {
		if err := writeEntry(w, c); err != nil {
			return err
		}
	}
	_, err = w.Write(make([]byte, trailer))
	return err
}

// packageClaim is the predicate of a manifest's statement.
type packageClaim struct {
	PackageID string `json:"package_id"`
}

func signManifest(packageID string, manifest []byte, sign func([]byte) ([]byte, error)) ([]byte, error) {
	st, err := NewStatement(ManifestName, sha256.Sum256(manifest), PackagePredicate, packageClaim{packageID})
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the manifest's statement cannot be written")
	}
	envelope, err := sign(st)
	if err != nil {
		return nil, err
	}
	e, err := ParseEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	// The envelope stands outside the manifest, so its own spelling has to be the only one.
	if !bytes.Equal(envelope, MarshalEnvelope(e.PayloadType, e.Bytes(), e.Signatures...)) {
		return nil, caos.Errorf(caos.Internal, "the manifest's envelope is not in canonical form")
	}
	return envelope, nil
}

func writeEntry(w io.Writer, c Content) (err error) {
	h := header(c.Name, c.Size)
	if _, err := w.Write(h[:]); err != nil {
		return err
	}
	r, err := c.Open()
	if err != nil {
		return err
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(r, c.Size))
	if err != nil {
		return err
	}
	var more [1]byte
	if k, _ := io.ReadFull(r, more[:]); k != 0 || n != c.Size || [32]byte(sum.Sum(nil)) != c.SHA256 {
		return caos.Errorf(caos.Internal, "%s does not have the size and digest that were announced", c.Name).
			WithField(c.Name).WithHint("check the object store: caos doctor")
	}
	_, err = w.Write(make([]byte, padding(c.Size)))
	return err
}
