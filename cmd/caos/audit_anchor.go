package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/anchor"
	"caos/internal/client"
	"caos/internal/httpapi"
)

// anchorKinds are the words of --kind.
func anchorKinds() []string { return []string{"witness", "timestamp", "chain", "object", "file"} }

func auditAnchor(e *environment) *cobra.Command {
	var kinds []string
	c := &cobra.Command{
		Use: "anchor", Short: "Give the newest checkpoint to witnesses, time-stamp servers, chain, bucket and files now", Args: noArgs,
		Long: "Anchors the audit log at once, besides the schedule. It waits until every destination has answered, a minute at most; on a chain the anchor is PENDING until its " +
			"transaction is final. A destination that has the newest checkpoint is not asked again.",
		Example: "  caos audit anchor\n  caos audit anchor --kind witness --kind timestamp",
		RunE: func(c *cobra.Command, _ []string) error {
			for _, k := range kinds {
				if err := oneOf("kind", k, anchorKinds()...); err != nil {
					return err
				}
			}
			made, body, err := ask[httpapi.AnchorsAsked](c.Context(), e, posting("/v1/anchors", httpapi.AnchorBody{Kinds: kinds}))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.destinations(made.Destinations) })
		},
	}
	c.Flags().StringSliceVar(&kinds, "kind", nil, "destinations of this kind alone: "+strings.Join(anchorKinds(), ", "))
	return c
}

func auditAnchors(e *environment) *cobra.Command {
	var p paging
	var kind, state string
	var all bool
	c := &cobra.Command{
		Use: "anchors", Short: "Show who outside holds the log's checkpoints, and how it stands with each", Args: noArgs,
		Long: "Shows every destination of anchors: OK, FAILING since some time, or DIVERGED, which says that it holds what this log cannot have led to. With --list, --kind or --state: " +
			"the anchors themselves, latest first.",
		Example: "  caos audit anchors\n  caos audit anchors --list --kind witness",
		RunE: func(c *cobra.Command, _ []string) error {
			if kind == "" && state == "" && !all {
				return e.anchorStatus(c.Context())
			}
			if kind != "" {
				if err := oneOf("kind", kind, anchorKinds()...); err != nil {
					return err
				}
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := list[anchor.Anchor](c.Context(), cl, "/v1/anchors", query("kind", kind, "state", strings.ToUpper(state)), p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				rows := make([][]string, 0, len(items))
				for _, a := range items {
					rows = append(rows, []string{a.AnchorID, a.Kind, string(a.State), grouped(a.Size), moment(a.At), a.Destination})
				}
				e.table([]string{"anchor", "kind", "state", "leaves", "at", "destination"}, rows)
			})
		},
	}
	p.bind(c)
	c.Flags().BoolVar(&all, "list", false, "list anchors")
	c.Flags().StringVar(&kind, "kind", "", "list anchors of this kind: "+strings.Join(anchorKinds(), ", "))
	c.Flags().StringVar(&state, "state", "", "list anchors that are pending, confirmed or failed")
	c.AddCommand(anchorShow(e))
	return c
}

func anchorShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show ANCHOR", Short: "Show an anchor with its checkpoint and what proves it", Args: wants("ANCHOR"),
		RunE: func(c *cobra.Command, args []string) error {
			a, body, err := ask[anchor.Anchor](c.Context(), e, client.Call{Method: "GET", Path: "/v1/anchors/" + escape(args[0])})
			if err != nil {
				return err
			}
			return e.give(body, func() {
				e.pairs(pair{"anchor", a.AnchorID}, pair{"kind", a.Kind}, pair{"destination", a.Destination}, pair{"state", string(a.State)}, pair{"error", a.Error},
					pair{"log", a.Origin}, pair{"leaves", grouped(a.Size)}, pair{"root", a.Root}, pair{"begun", moment(a.At)}, pair{"confirmed", moment(a.ConfirmedAt)},
					pair{"by its clock", moment(a.ProvedAt)}, pair{"object", a.Place}, pair{"registry", a.Address}, pair{"transaction", a.TxHash}, pair{"execution", a.ExecutionID},
					pair{"asked by", a.AskedBy})
				e.line("\n%s", strings.TrimSuffix(a.Checkpoint, "\n"))
			})
		},
	}
}

func (e *environment) anchorStatus(ctx context.Context) error {
	s, body, err := ask[anchor.Status](ctx, e, getting("/v1/anchors/status", nil))
	if err != nil {
		return err
	}
	return e.give(body, func() {
		if len(s.Destinations) == 0 {
			e.line("Nobody outside is given the log's checkpoints.")
			e.line("%s", e.paint.dim("docs/anchors.md says how that is configured."))
			return
		}
		facts := []pair{{"log", s.Origin}, {"leaves", grouped(s.Size)}, {"every", s.Every}}
		if slices.Contains(s.Kinds, "witness") {
			facts = append(facts, pair{"cosigned", grouped(s.CosignedSize) + " leaves by " + plural(max(s.Quorum, 1), "witness", "witnesses") + " or more"})
		}
		e.pairs(facts...)
		if s.Recovery != "" {
			e.line("\n%s: %s. Nothing is anchored before two people have run caos recover.", e.paint.bad("The log is in recovery mode"), clean(s.Recovery))
		}
		e.line("")
		e.destinations(s.Destinations)
	})
}

func (e *environment) destinations(list []anchor.Destination) {
	rows := make([][]string, 0, len(list))
	for _, d := range list {
		state, size := string(d.State), grouped(d.Size)
		if a := d.Anchor; a != nil && a.State == anchor.Pending {
			size += ", " + grouped(a.Size) + " pending"
		}
		rows = append(rows, []string{d.Kind, state, size, moment(d.TriedAt), d.Destination})
	}
	e.table([]string{"kind", "state", "leaves", "asked", "destination"}, rows)
	for _, d := range list {
		if d.State != anchor.OK {
			e.line("\n%s %s: %s", e.paint.bad(string(d.State)), d.Destination, d.Error)
		}
	}
}
