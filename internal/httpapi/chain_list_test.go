package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"caos/internal/auth"
	"caos/internal/chain"
	"caos/internal/db"
)

// A list of the chain gives everything that its reader sees, once and in order, however much
// they do not see lies between, and no key of that.
func TestListsHideKeys(t *testing.T) {
	w := newWorld(t)
	at := func(i int) string {
		return fmt.Sprintf("AUD-%s-%05d", map[bool]string{true: "shown", false: "hidden"}[i%1500 == 7 || i == 0], i)
	}
	const all = 3300
	const hash = "SHA256:1111111111111111111111111111111111111111111111111111111111111111"
	for i := 0; i < all; i += 100 {
		if err := w.db.Update(t.Context(), func(tx *db.Tx) error {
			for n := i; n < i+100; n++ {
				project := "P2"
				if strings.Contains(at(n), "shown") {
					project = "P1"
				}
				tx.Exec(`INSERT INTO chain_subjects (kind, id, model_id, version, content_hash, stated_at, state, round, tries, next_at, execution_id, transaction_id, hash, block_number,
					reason, project, classification, wanted_at, changed_at) VALUES ('audit', $1, '', '', $2, 0, 'FAILED', 1, 0, 0, '', '', '', NULL, '', $3, '', $4, 0)`,
					at(n), hash, project, int64(1_800_000_000_000_000+n/10))
			}
			return tx.Err()
		}); err != nil {
			t.Fatal(err)
		}
	}
	sees := auth.Visibility{Scoped: true, Projects: []string{"P1"}, Classifications: []string{""}}
	want := []string{at(3007), at(1507), at(7), at(0)}
	for _, limit := range []int{1, 2, 3, 50} {
		var got []string
		cursor := ""
		for pages := 0; pages < 20; pages++ {
			page, err := lister[chain.Subject]{
				read: func(cursor string, limit int) ([]*chain.Subject, string, error) {
					return w.api.Chain.Subjects(t.Context(), chain.SubjectFilter{Limit: limit}, cursor)
				},
				resource: subjectResource,
				key:      func(s *chain.Subject) (time.Time, string) { return s.WantedAt, s.ID },
			}.page(sees, limit, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page.Items {
				got = append(got, s.ID)
			}
			if len(page.Items) > limit {
				t.Errorf("a page of %d has %d", limit, len(page.Items))
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
			if _, id, err := db.ParseCursor(cursor); err != nil || strings.Contains(id, "hidden") {
				t.Errorf("the cursor tells %q (%v)", id, err)
			}
		}
		if cursor != "" || !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
}
